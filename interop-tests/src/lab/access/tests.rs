use super::*;

const MS: Duration = Duration::from_millis(1);

fn parse(text: &str) -> Result<Access, String> {
    Access::parse(text, 0, &Usual::default())
}

#[test]
fn a_fixed_rate_has_the_usual_round_trip_and_queue() {
    let usual = Access::fixed(100_000_000, 20 * MS, Queue::Time(50 * MS));
    assert_eq!(parse("100").unwrap(), usual);
    assert_eq!(parse("fixed:100 rtt=20ms queue=50ms").unwrap(), usual);
    let dsl = parse("20/0.5 rtt=30ms queue=100kB up.queue=codel").unwrap();
    assert_eq!((dsl.down.rate, dsl.up.rate), (Rate::Fixed(20_000_000), Rate::Fixed(500_000)));
    assert_eq!((dsl.down.delay, dsl.up.delay), (15 * MS, 15 * MS));
    assert_eq!(dsl.down.queue, Queue::Bytes(100_000));
    assert!(matches!(dsl.up.queue, Queue::CoDel(_)));
}

#[test]
fn words_are_about_both_directions_or_one() {
    let access = parse("50 loss=2%:5 down.police=20,64kB up.jitter=100ms:stepped:50ms").unwrap();
    assert!(matches!(access.up.loss, Loss::Bursty(channel) if channel.mean_loss() > 0.019));
    assert_eq!(access.up.loss, access.down.loss);
    assert_eq!(access.up.policer, None);
    let policer = Policer { rate: 20_000_000, burst: 64_000 };
    assert_eq!(access.down.policer, Some(policer));
    assert_eq!(access.up.jitter, Jitter::Stepped { spread: 100 * MS, hold: 50 * MS });
    assert_eq!(access.down.jitter, Jitter::None);
}

#[test]
fn weather_is_other_weather_for_another_isp_or_seed() {
    let rates =
        |text: &str, number| Access::parse(text, number, &Usual::default()).unwrap().down.rate;
    assert_eq!(rates("lte:8", 0), rates("lte:8", 0));
    assert_ne!(rates("lte:8", 0), rates("lte:8", 1));
    assert_ne!(rates("lte:8", 0), rates("lte:8 seed=9", 0));
    let lte = parse("lte").unwrap();
    let (down, up) = (mean_mbits(&lte.down.rate).unwrap(), mean_mbits(&lte.up.rate).unwrap());
    assert!((5.0..10.0).contains(&down) && (1.0..3.0).contains(&up), "{down} {up}");
}

#[test]
fn traces_are_read_from_files_and_shifted() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("down");
    std::fs::write(&file, "1\n3\n").unwrap();
    let name = file.display();
    let access = parse(&format!("trace:{name}")).unwrap();
    assert_eq!(access.up.rate, access.down.rate);
    assert_ne!(parse(&format!("trace:{name} phase=1ms")).unwrap().down.rate, access.down.rate);
    std::fs::write(&file, "1\nx\n").unwrap();
    let error = parse(&format!("trace:{name}")).unwrap_err();
    assert!(error.contains(&name.to_string()) && error.contains("line 2"), "{error}");
}

#[test]
fn what_makes_no_sense_is_answered_with_what_is_possible() {
    for (text, says) in [
        ("", "Begin with Mbit/s"),
        ("rtt=20ms", "Begin with Mbit/s"),
        ("100 200", "one capacity too many"),
        ("5g", "`5g` is no rate"),
        ("umts", "there is no weather `umts`; there are wander"),
        ("0", "from 0.001"),
        ("trace:", "trace:DOWN,UP"),
        ("trace:/nonexistent", "cannot read the trace /nonexistent"),
        ("100 rtt=soon", "give 40ms"),
        ("100 rtt=2h", "at most 1h"),
        ("100 queue=deep", "300kB, 50ms or codel"),
        ("100 loss=2", "give 2%"),
        ("100 loss=100%", "less than 100%"),
        ("100 loss=2%:0", "give 2%:5"),
        ("100 jitter=5ms:stepped", "100ms:stepped:100ms"),
        ("100 police=20", "give 20,64kB"),
        ("100 police=20,100B", "1500B or more"),
        ("100 seed=x", "whole number"),
        ("100 left.queue=5ms", "there are down, up"),
        ("100 delay=5ms", "there are rtt, queue"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.contains(says), "{text:?}: {error}");
    }
}
