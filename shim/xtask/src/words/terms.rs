//! The replaced words.

use std::path::Path;

use super::lexer::{Kind, Token};

/// Where a word is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Everywhere, also as a part of an identifier: the word has no ordinary use here.
    Anywhere,
    /// As a part of an identifier, or as a whole name in quotes. In a sentence it is plain English.
    Part,
    /// As an identifier by itself, or as a whole name in quotes.
    Name,
    /// As the name of a type or module that is defined.
    Type,
}
use Scope::{Anywhere, Name, Part, Type};

/// Scope, words, and the standard term.
type Term = (Scope, &'static [&'static str], &'static str);

/// Words that are replaced wherever they stand.
const EVERYWHERE: &[Term] = &[
    // How a lane fails.
    (Anywhere, &["doubt", "doubts", "doubted", "doubtful"], "suspicion, suspect"),
    (Part, &["overdue"], "suspected_since"),
    (Anywhere, &["waver", "wavers", "wavering"], "recently_suspected"),
    (Anywhere, &["hearing"], "one_way"),
    (Anywhere, &["pardon", "pardons", "pardoned", "forgiven", "forgive"], "spurious"),
    (Anywhere, &["pursue", "pursues", "pursued"], "probe_or_close"),
    (Name, &["take_in", "take_in_moves"], "observe"),
    (Part, &["proven"], "validated"),
    (Name, &["STEADY"], "STABLE_AFTER"),
    (Anywhere, &["stranded", "strand", "strands", "stranding"], "address_lost; old_path_bytes"),
    // Where a flow is sent.
    (Name, &["come_home", "Returning"], "revert, Reversion"),
    (Anywhere, &["landing", "landings"], "shared risk, remote"),
    (Type, &["Part"], "FailureDomain"),
    (Type, &["Standing"], "HoldState, AddressState"),
    (Anywhere, &["uncover", "uncovers", "uncovered"], "mark_at_risk"),
    (Name, &["twice_from"], "duplicate_from"),
    (Name, &["serves_beside"], "usable_in_handover"),
    // The planner.
    (Type, &["Plan"], "PlanActions"),
    (Type, &["Wanted"], "DemandGuard"),
    (Name, &["see_off"], "drain_then_close"),
    (Name, &["keep_score"], "update_hold_down"),
    (Anywhere, &["shunned", "shun"], "apply_peer_drains"),
    // Facts and the wire.
    (Anywhere, &["hasten", "hastens", "hastened"], "expedite"),
    (Anywhere, &["restate", "restates", "restated"], "retransmit"),
    (Name, &["SyncEnd"], "EndOfSync"),
    (Name, &["Offer"], "SessionParams"),
    (Anywhere, &["stretch", "stretches"], "range"),
    (Name, &["Scattered"], "TooManyRanges"),
    (Anywhere, &["crumb", "crumbs"], "small chunks"),
    (Name, &["Breach"], "Violation"),
    (Anywhere, &["booking", "bookings", "booked", "book", "books"], "assign, Assignment"),
    (Anywhere, &["chore", "chores"], "stream_ops"),
    (Name, &["peer_knows"], "open_acked"),
    (Anywhere, &["goodbye"], "close_message"),
    (Name, &["LAST_WORD"], "CLOSE_FLUSH"),
    (Type, &["Above"], "OutOfOrder"),
    (Type, &["Ready"], "InOrder"),
    // The engine and its reports.
    (Anywhere, &["surroundings"], "NodeContext"),
    (Part, &["told", "tell", "tells"], "Reporter, emit_…"),
    (Type, &["News", "Said"], "Report, LogThrottle"),
    (Name, &["Spell"], "UnreachableReporter"),
    (Anywhere, &["stranger", "strangers"], "unknown peer"),
    (Anywhere, &["dialler", "diallers"], "dialer"),
    (Name, &["begin_afresh"], "reset_backoff"),
    (Name, &["cure", "cures"], "hint"),
    (Name, &["words"], "advertisement"),
    // Uplinks and congestion.
    (Type, &["Picture"], "NetworkState"),
    (Anywhere, &["bell"], "notification"),
    (Type, &["What"], "ChangeKind"),
    (Type, &["Ways", "Way"], "RouteLookup, Route"),
    (Type, &["Exit"], "EgressCheck"),
    (Name, &["Foreign"], "WrongUplink"),
    (Anywhere, &["steer", "steers", "steered", "steering"], "delay_control"),
    (Part, &["trial", "trials"], "WindowProbe"),
    // Constants are named for what they are of.
    (
        Name,
        &["EVERY", "PATIENCE", "SILENT", "AGAIN_AFTER", "WORD_HOLDS"],
        "what the constant is of: PROBE_INTERVAL, RESUME_TIMEOUT",
    ),
    (Name, &["MOST", "MOST_LANES", "MOST_PATIENCE", "MOST_ROUTERS"], "MAX_…"),
    // Events.
    (Anywhere, &["address-came", "address-went"], "address-added, address-removed"),
    (Name, &["AddressCame", "AddressWent"], "AddressAdded, AddressRemoved"),
    (Anywhere, &["lane-healed"], "lane-recovered"),
    (Anywhere, &["lane-moved", "peer-moved"], "lane-migrated, peer-migrated"),
    (Name, &["LaneHealed", "LaneMoved", "PeerMoved"], "LaneRecovered, LaneMigrated, PeerMigrated"),
    (Anywhere, &["drain-began"], "drain-started"),
    (Name, &["DrainBegan"], "DrainStarted"),
    (Anywhere, &["stranger-refused"], "unknown-peer-rejected"),
    (Name, &["slept", "Slept"], "system-resumed"),
    (Name, &["besides"], "suppressed"),
];

/// Words that are replaced in the product, and are plain names in what measures it.
const PRODUCT: &[Term] = &[
    (Name, &["lasts"], "duration_ms"),
    (Name, &["why"], "reason"),
    (Part, &["piece", "pieces"], "chunk"),
];

/// The crates that have lanes, sessions and flows.
const CORE_PLACES: [&str; 4] =
    ["shim/proto", "shim/congestion", "shim/throughline", "shim/simulation"];

/// Words that are replaced in these crates, and may be the right name elsewhere.
const CORE: &[Term] = &[
    (Name, &["silent"], "suspected"),
    (Name, &["fair"], "first_valid_probe"),
    (Name, &["came"], "received_since"),
    (Name, &["look"], "evaluate"),
    (Name, &["grant", "grants"], "allow_probe"),
    (
        Part,
        &["home", "homes", "aside", "settle", "settles", "settled", "settling"],
        "primary, displaced_from, set_primary",
    ),
    (Name, &["second"], "secondary"),
    (Name, &["group", "groups"], "shared risk"),
    (Part, &["covered", "covers", "cover"], "carried_safely"),
    (Name, &["copies"], "duplicated_bytes"),
    (Name, &["bonds"], "is_bond_member"),
    (Name, &["pressed"], "has_demand"),
    (Part, &["cold"], "standby"),
    (Part, &["stated"], "sent"),
    (Name, &["touch", "touched"], "mark_dirty"),
    (Name, &["Echo"], "FactAck"),
    (Part, &["word", "words"], "advertisement"),
    (Part, &["edge", "edges"], "max_offset, proxy"),
    (Name, &["cut"], "reset_at"),
    (Name, &["counted"], "accounted_bytes"),
    (Name, &["around"], "context"),
    (Name, &["by"], "detected_by"),
    (Name, &["took"], "setup_ms"),
];

/// How many parts a name may have; one of more is a sentence, such as a test's name.
const NAME_PARTS: usize = 4;

/// Returns the standard term for `token` if it is a replaced word; `before` are the tokens before it.
pub(super) fn better(file: &Path, before: &[Token], token: &Token) -> Option<&'static str> {
    let is_product = file.starts_with("shim");
    let is_core = CORE_PLACES.iter().any(|place| file.starts_with(place));
    let places = [(EVERYWHERE, true), (PRODUCT, is_product), (CORE, is_core)];
    let mut terms = places.iter().filter(|(_, applies)| *applies).flat_map(|(terms, _)| *terms);

    let parts = parts(&token.text);
    let is_name = token.kind != Kind::Text && parts.len() <= NAME_PARTS;
    let has_part = |words: &[&str]| parts.iter().any(|part| words.contains(&part.as_str()));
    let is_whole = |words: &[&str]| words.contains(&token.text.as_str());
    let is_match = |(scope, words, _): &&Term| match scope {
        Anywhere => has_part(words) || is_whole(words),
        Part => is_name && has_part(words),
        Name => is_name && is_whole(words),
        Type => defines(before, token) && is_whole(words),
    };
    terms.find(is_match).map(|(_, _, better)| *better)
}

fn defines(before: &[Token], token: &Token) -> bool {
    let keyword = before.last().filter(|word| word.kind == Kind::Code && token.kind == Kind::Code);
    keyword.is_some_and(|word| {
        matches!(word.text.as_str(), "struct" | "enum" | "trait" | "type" | "class")
    })
}

/// Divides a name: `LaneDoubt`, `lane_doubt` and `LANE_DOUBT` have the parts `lane` and `doubt`.
pub(super) fn parts(name: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut after_lower = false;
    for char in name.chars() {
        if !char.is_alphanumeric() || char.is_uppercase() && after_lower {
            parts.push(std::mem::take(&mut part));
        }
        if char.is_alphanumeric() {
            part.extend(char.to_lowercase());
        }
        after_lower = char.is_lowercase() || char.is_numeric();
    }
    parts.push(part);
    parts.retain(|part| !part.is_empty());
    parts
}
