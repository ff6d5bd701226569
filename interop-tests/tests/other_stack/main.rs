//! A peer on another QUIC stack against real daemons: `interop-tests/peers/aioquic`, in Python over
//! aioquic, written from `docs/PROTOCOL.md` alone.
//!
//! Each scenario there is a test here, by the same name. The daemons' logs and the qlogs of a failed
//! one are kept in `target/other-stack/failed`. Where Python is not installed, or aioquic cannot be
//! downloaded, all tests are skipped, with a message.

mod python;

use interop_tests::support::{Outcome, alone};

use crate::python::Python;

/// Runs a scenario of the peer.
async fn scenario(name: &str) -> Outcome {
    // Time is not measured, but one scenario keeps two cores busy.
    let _alone = alone().await;
    let Some(python) = Python::ready().await? else { return Ok(()) };
    // A panic prints the lines as they are; an error would be printed escaped, on one line.
    python.run(name).await.unwrap_or_else(|error| panic!("{error}"));
    Ok(())
}

macro_rules! scenarios {
    ($($name:ident)*) => {
        const SCENARIOS: &[&str] = &[$(stringify!($name)),*];
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() -> Outcome {
                scenario(stringify!($name)).await
            }
        )*
    };
}

scenarios! {
    the_documents_examples_are_what_this_peer_writes_and_reads
    a_lane_comes_up_with_pinned_keys_and_no_tickets
    a_flow_moves_bytes_both_ways
    the_lane_migrates_to_another_address_and_the_flow_goes_on
    the_lane_migrates_there_and_back_without_a_flow
    a_nat_that_rebinds_is_followed
    two_lanes_carry_one_flow_and_either_may_go
    a_lane_that_goes_silent_costs_no_byte
    a_session_without_lanes_is_resumed
    a_direction_that_ends_leaves_the_other_open
    a_reset_delivers_what_precedes_it
    an_open_that_comes_on_two_lanes_and_again_is_one_dial
    pings_are_answered_as_long_as_they_are
    a_lane_that_drains_gets_nothing_new
    facts_are_retransmitted_until_they_are_acknowledged
    closing_ends_the_session_and_its_flows
    a_key_that_the_acceptor_does_not_know_is_refused
    a_dialer_without_a_certificate_or_with_another_kind_of_key_is_refused
    this_peer_refuses_an_acceptor_with_another_key
    another_alpn_and_none_are_refused
    hellos_are_rejected_by_the_rules_of_the_acceptor
    a_later_dialer_is_answered_in_our_version_and_what_it_says_more_is_skipped
    a_session_is_not_attached_to_by_another_peer
    a_target_outside_the_acl_is_not_dialed
    violations_close_the_lane_and_nothing_else
    contradictions_of_a_flow_are_violations
    what_comes_before_the_hello_closes_the_lane
    too_many_flows_are_refused_and_far_too_many_a_violation
    our_dialer_comes_with_two_lanes_and_moves_bytes_both_ways
    our_dialer_migrates_and_this_peer_validates_the_path
    our_dialer_resumes_when_all_lanes_are_gone
    our_dialer_learns_that_its_session_is_unknown_and_makes_another
    our_dialer_tries_again_later_where_it_is_rejected_for_now
    our_dialer_refuses_another_key_another_alpn_and_a_later_version
    our_dialer_says_that_an_acceptor_does_not_speak_its_version_any_more
    our_dialer_skips_what_a_later_acceptor_says
    our_dialer_closes_a_lane_whose_acceptor_breaks_a_rule_and_dials_another
    this_peer_refuses_a_dialer_that_it_does_not_know
}

#[tokio::test(flavor = "multi_thread")]
async fn every_scenario_of_the_peer_is_a_test() -> Outcome {
    let _alone = alone().await;
    let Some(python) = Python::ready().await? else { return Ok(()) };
    assert_eq!(python.scenarios().await?, SCENARIOS);
    Ok(())
}
