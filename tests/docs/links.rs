//! Every link inside the project leads somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::markdown::{Document, top};

/// All documents of the project.
fn documents() -> Vec<Document> {
    let folders = ["", "docs", "geoip"];
    let in_folder = |folder: &&str| {
        let entries = fs::read_dir(top().join(folder)).unwrap();
        let paths = entries.map(|entry| Path::new(folder).join(entry.unwrap().file_name()));
        paths.filter(|path| path.extension() == Some("md".as_ref())).collect::<Vec<_>>()
    };
    let paths: BTreeSet<_> = folders.iter().flat_map(in_folder).collect();
    paths.iter().map(|path| Document::read(path.to_str().unwrap())).collect()
}

/// The name by which a heading is linked to.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[test]
fn every_link_between_documents_leads_to_a_file_and_a_heading() {
    let documents = documents();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for document in &documents {
        for link in document.links() {
            if link.contains("://") {
                continue;
            }
            seen += 1;
            let (file, part) = link.split_once('#').unwrap_or((&link, ""));
            let target = document.beside(file);
            let own = file.is_empty();
            if !own && !top().join(&target).exists() {
                wrong.push(format!("{}: {link}: no such file", document.path));
                continue;
            }
            let path = if own { document.path.clone() } else { target.display().to_string() };
            if !part.is_empty() {
                let headings = Document::read(&path).headings();
                if !headings.iter().any(|heading| anchor(heading) == part) {
                    wrong.push(format!("{}: {link}: no such heading", document.path));
                }
            }
        }
    }
    assert!(seen > 10, "{seen} links");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_readme_leads_to_every_document() {
    let links = Document::read("README.md").links();
    for document in documents() {
        let known = document.path == "README.md" || links.contains(&document.path);
        // The notices of the data are linked where they concern, from NOTICE.
        assert!(known || document.path.starts_with("geoip/"), "{} is not linked", document.path);
    }
}
