//! Ejection on a manual clock.

use proptest::prelude::*;

use super::*;

const RULES: EjectRules = EjectRules {
    errors: 5,
    within: Duration::from_secs(10),
    time: Duration::from_secs(30),
    max_share: 0.5,
    slow: Some(4.0),
};

/// Lets an endpoint fail so many times, a second apart; gives the last ruling.
fn fail(ejector: &mut Ejector, endpoint: usize, times: u64, from: u64) -> Ruling {
    let mut last = Ruling::None;
    for second in 0..times {
        last = ejector.failed(endpoint, Tick((from + second) * 1000));
    }
    last
}

#[test]
fn errors_in_a_row_eject() {
    let mut ejector = Ejector::new(RULES, 4);
    assert_eq!(fail(&mut ejector, 0, 4, 0), Ruling::None);
    ejector.succeeded(0);
    assert_eq!(fail(&mut ejector, 0, 4, 4), Ruling::None, "a success breaks the row");
    assert_eq!(ejector.failed(0, Tick(8000)), Ruling::Ejected(Cause::Errors, Tick(38_000)));
    assert!(ejector.is_out(0, Tick(37_999)) && !ejector.is_out(0, Tick(38_000)));
    assert!(!ejector.is_out(1, Tick(9000)), "nobody else is");
    assert_eq!(ejector.failed(0, Tick(9000)), Ruling::None, "what was under way changes nothing");
    let mut slow = Ejector::new(RULES, 4);
    for second in (0..40).step_by(3) {
        assert_eq!(slow.failed(0, Tick(second * 1000)), Ruling::None, "five take 12 s");
    }
    assert_eq!(slow.failed(0, Tick(40_000)), Ruling::Ejected(Cause::Errors, Tick(70_000)));
}

#[test]
fn an_endpoint_comes_back_on_trial_and_stays_out_longer_each_time() {
    let mut ejector = Ejector::new(RULES, 4);
    fail(&mut ejector, 0, 5, 0);
    let mut now = Tick(34_000);
    for time in [60_000, 120_000, 240_000, 300_000, 300_000] {
        assert!(!ejector.is_out(0, now), "back at {now:?}");
        let until = Tick(now.0 + 500 + time);
        let again = ejector.failed(0, Tick(now.0 + 500));
        assert_eq!(again, Ruling::Ejected(Cause::Errors, until), "one error is enough");
        now = until;
    }
    ejector.succeeded(0);
    assert_eq!(fail(&mut ejector, 0, 4, now.0 / 1000 + 400), Ruling::None, "the trial is over");
    let later = Tick(now.0 + 404_000);
    let fresh = Ruling::Ejected(Cause::Errors, Tick(later.0 + 30_000));
    assert_eq!(ejector.failed(0, later), fresh, "it was in for longer than it was out");
}

#[test]
fn a_share_of_the_endpoints_always_stays() {
    for (endpoints, share, most) in
        [(1, 0.5, 0), (2, 0.5, 1), (3, 0.5, 1), (10, 0.3, 3), (4, 0.0, 0)]
    {
        let mut ejector = Ejector::new(EjectRules { max_share: share, ..RULES }, endpoints);
        for endpoint in 0..endpoints {
            let spared = fail(&mut ejector, endpoint, 5, 0) == Ruling::Spared(Cause::Errors);
            assert_eq!(spared, endpoint >= most, "{endpoint} of {endpoints}");
        }
        assert_eq!(ejector.out(Tick(4000)), most);
    }
    let mut ejector = Ejector::new(RULES, 2);
    fail(&mut ejector, 0, 5, 0);
    assert_eq!(fail(&mut ejector, 1, 5, 0), Ruling::Spared(Cause::Errors));
    assert_eq!(ejector.failed(1, Tick(5000)), Ruling::Spared(Cause::Errors), "said each time");
    let back = ejector.failed(1, Tick(34_500));
    assert_eq!(back, Ruling::None, "its errors are long ago by then");
}

#[test]
fn what_is_slow_for_long_is_ejected() {
    let mut ejector = Ejector::new(RULES, 5);
    let mut rulings = Vec::new();
    let latencies = |third: f32| [10.0, 12.0, third, 9.0, 0.0];
    for second in 0..30 {
        // At 8 s it has a good moment.
        let third = if second == 8 { 20.0 } else { 90.0 };
        ejector.compare(&latencies(third), Tick(second * 1000), |endpoint, ruling| {
            rulings.push((second, endpoint, ruling));
        });
    }
    assert_eq!(rulings, [(19, 2, Ruling::Ejected(Cause::Slow, Tick(49_000)))]);
    let mut ejector = Ejector::new(RULES, 2);
    ejector.compare(&[1.0, 900.0], Tick(0), |_, _| panic!("two are no crowd"));
    ejector.compare(&[1.0, 900.0], Tick(60_000), |_, _| panic!("two are no crowd"));
    let mut off = Ejector::new(EjectRules { slow: None, ..RULES }, 5);
    off.compare(&latencies(900.0), Tick(0), |_, _| panic!("off"));
    off.compare(&latencies(900.0), Tick(60_000), |_, _| panic!("off"));
    ejector.compare(&[1.0; 9], Tick(0), |_, _| panic!("more than there are"));
}

proptest! {
    #[test]
    fn never_too_many_are_out_and_each_comes_back(
        steps in prop::collection::vec((0_usize..6, any::<bool>(), 0_u64..5000), 1..300),
        share in 0.0_f64..1.0,
    ) {
        let mut ejector = Ejector::new(EjectRules { max_share: share, errors: 2, ..RULES }, 6);
        let mut now = 0;
        for (endpoint, success, later) in steps {
            now += later;
            if success {
                ejector.succeeded(endpoint);
            } else {
                ejector.failed(endpoint, Tick(now));
            }
            prop_assert!(ejector.out(Tick(now)) as f64 <= share * 6.0 + 1e-6);
        }
        prop_assert_eq!(ejector.out(Tick(now + 300_000)), 0);
    }
}
