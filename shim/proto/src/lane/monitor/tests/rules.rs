//! Each rule, switched off, is missed by a row of the table.

use super::table;
use crate::lane::rules::{Rule, Rules};

#[test]
fn every_rule_that_is_switched_off_changes_a_row_of_the_table() {
    let written = table::written();
    let unnoticed: Vec<Rule> = Rule::ALL
        .into_iter()
        .filter(|rule| table::rows(Rules::without(*rule)) == written)
        .collect();
    assert!(unnoticed.is_empty(), "nothing in the table needs {unnoticed:?}");
}
