//! Datagrams to a name, by the address that stands for it, while daemons succeed one another.

use crate::names::{A, HOSTS, ask, start};
use crate::site::Site;
use crate::udp::{Client, NOBODY, destinations, with_users};

#[test]
fn a_flow_to_a_name_goes_on_from_the_same_port_while_daemons_succeed_one_another() {
    let name = "named_datagrams::a_flow_to_a_name_goes_on_from_the_same_port_while_daemons_succeed_one_another";
    with_users(name, || {
        let site = Site::with_names(HOSTS);
        destinations(&site.far);
        let mut near = start(&site);
        let stand_in = ask("db.corp.example", A);
        let [one, other] = [(); 2].map(|()| Client::new(&stand_in, NOBODY, None));
        let seen = [one.seen("one"), other.seen("other")];
        // The far host's own address, by which it reaches itself.
        assert!(seen.iter().all(|seen| seen.ip().to_string() == "203.0.113.3"), "{seen:?}");
        for round in 0..3 {
            let next = near.successor();
            assert!(near.wait_for_success());
            near = next;
            let text = format!("round {round}");
            assert_eq!([one.seen(&text), other.seen(&text)], seen, "{}", near.log());
        }
        // Whoever comes now has a flow of its own, to the same name.
        let new = Client::new(&stand_in, NOBODY, None).seen("new");
        assert!(new.ip() == seen[0].ip() && !seen.contains(&new), "{new}\n{}", near.log());
        near.stop();
    });
}
