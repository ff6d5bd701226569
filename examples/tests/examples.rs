//! The examples do what they say.

use std::process::Command;

fn stdout_of(program: &str) -> String {
    let output = Command::new(program).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout}{stderr}");
    stdout
}

#[test]
fn echo_answers() {
    assert_eq!(stdout_of(env!("CARGO_BIN_EXE_echo")), "HELLO\n");
}

#[test]
fn a_transfer_survives_the_death_of_either_isp() {
    let stdout = stdout_of(env!("CARGO_BIN_EXE_survive"));
    for isp in ["isp-a", "isp-b"] {
        assert!(stdout.contains(&format!("{isp} is dead")), "it ended before the cut: {stdout}");
    }
    assert!(stdout.contains("60000000 bytes arrived, 0 of them wrong"), "{stdout}");
}
