//! Judges for how long what is on the way lets the peer's packets in while this end is silent.

use std::time::Duration;

use crate::catalogue::Code;
use crate::doctor::finding::{Finding, Severity};
use crate::doctor::observation::PathSeen;
use throughline::probe::{KEEP_ALIVE_INTERVAL, MappingAnswer};

/// Returns what the silences of a path come to, where it was asked.
pub(super) fn judge(path: &PathSeen, subject: String) -> Option<Finding> {
    let of = |wanted: MappingAnswer| {
        let times = path.silences.iter().filter(move |(_, answer)| *answer == wanted);
        times.map(|(silence, _)| *silence)
    };
    let kept = of(MappingAnswer::Kept).max();
    // One that is shorter than what was kept has lost a packet for another reason.
    let forgotten = of(MappingAnswer::Forgotten).filter(|lost| Some(*lost) > kept).min();
    let finding =
        |code: Code, severity, cause: String| Finding::new(code, severity, subject, cause);
    let again = Code::MappingUnknown.entry().cure.replace("--nat`", "--nat -c FILE`");
    let keep_alive = seconds(KEEP_ALIVE_INTERVAL);
    match (kept, forgotten) {
        (None, None) => {
            let (_, answer) = path.silences.last()?;
            let MappingAnswer::Unknown(reason) = answer else { return None };
            let cause = format!("It could not be seen how long the path may be silent: {reason}.");
            Some(finding(Code::MappingUnknown, Severity::Note, cause).cure(again))
        }
        (Some(kept), forgotten) if kept >= KEEP_ALIVE_INTERVAL => {
            let more = forgotten.map_or("".to_owned(), |lost| {
                format!(", and after {} they are not", seconds(lost))
            });
            let cause = format!(
                "After {} of silence the peer's packets are still let in{more}; an idle lane sends one each {keep_alive}.",
                seconds(kept)
            );
            Some(finding(Code::MappingKept, Severity::Ok, cause))
        }
        (Some(kept), None) => {
            let cause = format!(
                "After {} of silence the peer's packets are still let in; a longer silence was not seen, and an idle lane \
                 sends one packet each {keep_alive}.",
                seconds(kept)
            );
            Some(finding(Code::MappingUnknown, Severity::Note, cause).cure(again))
        }
        (kept, Some(lost)) => {
            let since =
                kept.map_or("".to_owned(), |kept| format!(" (after {} they were)", seconds(kept)));
            let cause = format!(
                "After {} of silence the peer's packets are not let in any more{since}: a NAT or a firewall on the way of \
                 this uplink forgets a UDP flow that soon (RFC 4787 asks for 2 minutes). An idle lane sends a packet each \
                 {keep_alive}; until then what the peer sends over this uplink is lost, and it takes the lane for failed.",
                seconds(lost)
            );
            Some(
                finding(Code::MappingShort, Severity::Warning, cause)
                    .cure(Code::MappingShort.entry().cure),
            )
        }
    }
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs())
}
