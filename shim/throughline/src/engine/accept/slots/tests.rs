use super::*;

fn prefix(text: &str) -> Prefix {
    Prefix::of(format!("{text}:0").parse().unwrap())
}

fn nth(n: u8) -> Prefix {
    prefix(&format!("198.51.{n}.1"))
}

/// Slots that `count` stalling newcomers of one prefix have come to, slowly enough for their rate.
fn stalled(slots: &mut Slots, mut now: Instant, from: Prefix, count: usize) -> Instant {
    for _ in 0..count {
        now += PREFIX_INTERVAL;
        assert!(matches!(slots.admit(now, from, true), Verdict::Accept { .. }));
    }
    now
}

fn is_accepted(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Accept { .. })
}

#[test]
fn whoever_stalls_in_numbers_displaces_only_its_own_kind_and_everybody_else_finds_a_slot() {
    let (mut slots, t) = (Slots::default(), Instant::now());
    let attacker = prefix("203.0.113.1");
    let now = stalled(&mut slots, t, attacker, 300);
    assert_eq!(slots.held.len(), MAX_OF_UNKNOWN);
    let honest = nth(1);
    let Verdict::Accept { number, displaced: None } = slots.admit(now, honest, true) else {
        panic!("no slot")
    };
    // The flood goes on, and leaves it alone.
    stalled(&mut slots, now, attacker, 300);
    assert_eq!(slots.held.get(&number), Some(&honest));
    // One of the attacker's own prefix gets a slot as well: the oldest set-up there ends.
    let now = now + Duration::from_secs(60);
    let oldest = slots.held.iter().find(|(_, p)| **p == attacker).map(|(n, _)| *n);
    let Verdict::Accept { displaced, .. } = slots.admit(now, attacker, true) else { panic!() };
    assert_eq!(displaced, oldest);
}

#[test]
fn many_prefixes_together_leave_slots_for_those_from_which_a_peer_came() {
    let (mut slots, t) = (Slots::default(), Instant::now());
    let known = prefix("192.0.2.1");
    slots.let_in(t, known);
    let mut now = t;
    for n in 0..=255 {
        now = stalled(&mut slots, now, nth(n), 3);
    }
    assert_eq!(slots.held.len(), MAX_UNKNOWN);
    let mut taken = Vec::new();
    for _ in 0..MAX_OF_KNOWN {
        now += KNOWN_INTERVAL;
        match slots.admit(now, known, true) {
            Verdict::Accept { number, .. } => taken.push(number),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(slots.held.len(), MAX_SETUPS);
    // The flood takes none of them back.
    for n in 0..=255 {
        now = stalled(&mut slots, now, nth(n), 3);
    }
    assert!(taken.iter().all(|number| slots.held.contains_key(number)));
    let day_later = now + KNOWN_FOR;
    assert!(!slots.is_known(day_later, known));
}

#[test]
fn a_newcomer_shows_its_address_where_many_are_set_up() {
    let (mut slots, t) = (Slots::default(), Instant::now());
    for n in 0..RETRY_THRESHOLD {
        assert!(is_accepted(&slots.admit(t, nth(n as u8), false)));
    }
    assert_eq!(slots.admit(t, nth(200), false), Verdict::Retry);
    let Verdict::Accept { number, .. } = slots.admit(t, nth(200), true) else { panic!() };
    slots.release(number);
    slots.release(0);
    assert!(is_accepted(&slots.admit(t, nth(200), false)));
}

#[test]
fn handshakes_are_bounded_by_the_second_for_each_prefix_and_in_all() {
    let (mut slots, t) = (Slots::default(), Instant::now());
    let known = prefix("192.0.2.1");
    slots.let_in(t, known);
    // For a minute everybody sends a hundred first packets in 100 ms.
    let (mut of_one, mut of_many, mut of_known) = (0, 0, 0);
    for tenth in 0..600u32 {
        let now = t + tenth * Duration::from_millis(100);
        let mut count = |from: Prefix| {
            let verdict = slots.admit(now, from, true);
            if let Verdict::Accept { number, .. } = verdict {
                slots.release(number);
            }
            u32::from(is_accepted(&verdict))
        };
        for n in 0..100 {
            of_one += count(nth(250));
            of_many += count(nth(n));
            of_known += count(known);
        }
    }
    assert!(of_one <= 60 * 334 + PREFIX_BURST, "{of_one}");
    assert!(of_one + of_many <= 60 * 500 + UNKNOWN_BURST, "{of_many}");
    assert!(of_many > 60 * 150, "one prefix takes the others' share: {of_many}");
    assert!((29_900..=30_000 + KNOWN_BURST).contains(&of_known), "{of_known}");
}

#[test]
fn what_is_remembered_is_bounded() {
    let (mut slots, t) = (Slots::default(), Instant::now());
    for n in 0..5000u32 {
        let [_, a, b, _] = n.to_be_bytes();
        let from = prefix(&format!("10.{a}.{b}.1"));
        let from = if n % 2 == 0 { from } else { prefix(&format!("11.{a}.{b}.1")) };
        slots.let_in(t, from);
        slots.admit(t, from, true);
    }
    assert!(slots.known.len() <= MAX_KNOWN && slots.followed.len() <= MAX_FOLLOWED);
    assert!(slots.held.len() <= MAX_SETUPS);
}
