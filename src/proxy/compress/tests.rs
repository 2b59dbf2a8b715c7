//! Tests of what is compressed, for whom, and that it can be read again.

use std::io::Read;

use super::*;

fn fields(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

fn settings() -> Compress {
    Compress {
        encodings: Encoding::ALL.to_vec(),
        types: vec!["text/*".to_owned(), "application/json".to_owned()],
        min_size: 1000,
    }
}

#[test]
fn clients_get_what_they_like_best() {
    for (case, wish, expected) in [
        ("nothing said", None, None),
        ("nothing wanted", Some(""), None),
        ("browsers", Some("gzip, deflate, br, zstd"), Some("zstd")),
        ("weights", Some("zstd;q=0.1, br; q=0.9 ,gzip;q=0.5"), Some("br")),
        ("refused", Some("zstd;q=0, br;q=0.0, gzip"), Some("gzip")),
        ("all", Some("*"), Some("zstd")),
        ("all but one", Some("zstd;q=0, *;q=0.5"), Some("br")),
        ("the body as it is", Some("identity, gzip;q=0.5"), None),
        ("the body as it is, less so", Some("identity;q=0.5, gzip;q=0.5"), Some("gzip")),
        ("old names", Some("X-GZIP"), Some("gzip")),
        ("nonsense", Some("gzip;q=x, ;;, zstd;q"), Some("zstd")),
        ("others", Some("compress, deflate"), None),
        ("a weight that is none", Some("gzip;q=NaN"), None),
    ] {
        let headers = wish.map_or_else(HeaderMap::new, |wish| fields(&[("accept-encoding", wish)]));
        let chosen = Wish::of(&headers).choose(&Encoding::ALL).map(Encoding::name);
        assert_eq!(chosen, expected, "{case}");
    }
    let gzip = Wish::of(&fields(&[("accept-encoding", "br, gzip;q=0.1")]));
    assert_eq!(gzip.choose(&[Encoding::Gzip]), Some(Encoding::Gzip), "of those that are offered");
}

#[test]
fn bodies_are_encoded_where_it_is_worth_it() {
    let text = ("content-type", "Text/HTML; charset=utf-8");
    let all = Compressions::default();
    let wish = Wish::of(&fields(&[("accept-encoding", "br")]));
    for (case, status, exact, own, expected) in [
        ("text", 200, None, vec![text], true),
        ("an error page", 404, Some(5000), vec![text], true),
        ("one type", 200, None, vec![("content-type", "application/json")], true),
        ("no type", 200, None, vec![], false),
        ("a picture", 200, None, vec![("content-type", "image/png")], false),
        (
            "another that begins alike",
            200,
            None,
            vec![("content-type", "application/jsonx")],
            false,
        ),
        ("a short one", 200, Some(999), vec![text], false),
        ("encoded already", 200, None, vec![text, ("content-encoding", "gzip")], false),
        ("not to be changed", 200, None, vec![text, ("cache-control", "a, No-Transform")], false),
        ("a part", 206, None, vec![text, ("content-range", "bytes 0-1/2")], false),
        ("no body", 204, None, vec![text], false),
        ("not modified", 304, None, vec![text], false),
    ] {
        let mut headers = fields(&own);
        let status = StatusCode::from_u16(status).unwrap();
        let encoder = encode(&mut headers, (status, exact), &settings(), &wish, &all);
        assert_eq!(encoder.is_some(), expected, "{case}");
        assert_eq!(headers.contains_key("vary"), expected, "{case}");
    }
}

#[test]
fn heads_tell_of_encoded_bodies() {
    let all = Compressions::default();
    let own = [
        ("content-type", "text/plain"),
        ("content-length", "5000"),
        ("etag", "\"x\""),
        ("accept-ranges", "bytes"),
        ("vary", "origin, Accept-Encoding"),
        ("content-digest", "x"),
    ];
    let mut headers = fields(&own);
    let wish = Wish::of(&fields(&[("accept-encoding", "gzip")]));
    let facts = (StatusCode::OK, Some(5000));
    let encoder = encode(&mut headers, facts, &settings(), &wish, &all);
    assert!(encoder.is_some());
    let value = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(value("etag"), Some("W/\"x\""));
    assert_eq!(value("content-encoding"), Some("gzip"));
    assert_eq!(headers.get_all("vary").iter().count(), 1, "it is there already");
    for gone in ["content-length", "accept-ranges", "content-digest"] {
        assert_eq!(value(gone), None, "{gone}");
    }
    // Who reads no encoding gets the same page, which others get otherwise.
    let mut headers = fields(&own[..3]);
    let nothing = Wish::of(&HeaderMap::new());
    assert!(encode(&mut headers, facts, &settings(), &nothing, &all).is_none());
    assert_eq!(headers["etag"], "\"x\"");
    assert_eq!(
        (&headers["vary"], &headers["content-length"]),
        (&"accept-encoding".parse().unwrap(), &"5000".parse().unwrap())
    );
}

#[test]
fn what_is_encoded_can_be_read_again_part_by_part() {
    let parts: Vec<Vec<u8>> = (0..40_u32)
        .map(|number| (0..5000).map(|at| b"abcdefgh"[((at * number / 7) % 8) as usize]).collect())
        .collect();
    let whole = parts.concat();
    for encoding in Encoding::ALL {
        let mut encoder = Compressions::default().begin(encoding).unwrap();
        let mut encoded = Vec::new();
        for part in &parts {
            encoded.extend_from_slice(&encoder.push(part).unwrap());
        }
        assert!(encoder.is_unflushed());
        encoded.extend_from_slice(&encoder.flush().unwrap());
        assert!(!encoder.is_unflushed());
        // A reader has all of it by now, though the end has not come.
        let mut read = vec![0; whole.len()];
        decoder(encoding, &encoded).read_exact(&mut read).unwrap();
        assert!(read == whole, "{encoding:?}");
        encoded.extend_from_slice(&encoder.finish().unwrap());
        assert!(encoder.is_done() && encoder.push(b"x").unwrap().is_empty());
        let mut read = Vec::new();
        decoder(encoding, &encoded).read_to_end(&mut read).unwrap();
        assert!(read == whole && encoded.len() < whole.len() / 5, "{encoding:?}");
    }
}

fn decoder<'a>(encoding: Encoding, octets: &'a [u8]) -> Box<dyn Read + 'a> {
    match encoding {
        Encoding::Gzip => Box::new(flate2::read::GzDecoder::new(octets)),
        Encoding::Brotli => Box::new(brotli::Decompressor::new(octets, 4096)),
        Encoding::Zstd => Box::new(zstd::stream::read::Decoder::new(octets).unwrap()),
    }
}

#[test]
fn only_so_many_bodies_are_compressed_at_a_time() {
    let all = Compressions::default();
    let held: Vec<Encoder> = (0..AT_A_TIME).map(|_| all.begin(Encoding::Gzip).unwrap()).collect();
    assert!(!all.has_room());
    drop(held);
    assert!(all.has_room() && all.0.get() == 0);
}
