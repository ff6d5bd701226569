//! The page in a real browser: it shows a failure at once, on a phone as well, by day and by night, and to a keyboard.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use throughline::{EventKind, EventStream, Followed};
use throughline_emulator::Way;
use throughline_fixture::{DEADLINE, DaemonPair, alone};
use tokio::time::timeout;

use super::chromium::{Chromium, program};
use super::{TOKEN, pair_with_page};
use crate::flows::Flows;

/// Set to a directory, the page is shown for some minutes, and its pictures are written there.
const SCREENSHOTS: &str = "THROUGHLINE_SCREENSHOTS";

/// A failure is to be seen within this time after the daemon knows of it.
const BAR: Duration = Duration::from_secs(1);

/// Notes what the policy or the script finds wrong.
const NOTE_FAULTS: &str = "window.faults = [];
    addEventListener('error', (event) => faults.push(event.message));
    addEventListener('unhandledrejection', (event) => faults.push(String(event.reason)));
    document.addEventListener('securitypolicyviolation', (event) => faults.push(event.violatedDirective));";

/// The contrast of every text with what is behind it (WCAG 2.2 §1.4.3), the lowest with its text.
const CONTRAST: &str = "(() => {
    const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const linear = (part) => { const of = part / 255; return of <= 0.04045 ? of / 12.92 : ((of + 0.055) / 1.055) ** 2.4; };
    const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const colour = channels(getComputedStyle(at).backgroundColor);
            if (colour.length < 4 || colour[3] > 0) return colour;
        }
        return [255, 255, 255];
    };
    const of = (element) => {
        const [a, b] = [channels(getComputedStyle(element).color), behind(element)].map(luminance);
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    };
    const texts = [...document.querySelectorAll('body *')].filter((element) => element.checkVisibility()
        && [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()));
    return texts.map((element) => [of(element), element.textContent.trim().slice(0, 40)]).sort((a, b) => a[0] - b[0])[0];
})()";

fn state_of(uplink: &str) -> String {
    format!("document.querySelector('[data-uplink=\"{uplink}\"] .state').textContent")
}

async fn click(browser: &mut Chromium, selector: &str) {
    browser.value(&format!("document.querySelector('{selector}').click()")).await;
}

/// Completes when the daemon has told of a suspicion of isp-a.
async fn suspected(mut events: EventStream) -> Instant {
    while let Some(followed) = events.next().await {
        if let Followed::Event(event) = followed
            && matches!(event.kind, EventKind::LaneSuspected { .. })
            && event.uplink.as_deref() == Some("isp-a")
        {
            return Instant::now();
        }
    }
    panic!("the node is gone");
}

/// Has isp-a fail and come back; returns how long it took until the page showed it, since it failed and since the
/// daemon knew.
async fn failure(browser: &mut Chromium, pair: &DaemonPair) -> (Duration, Duration) {
    let known = tokio::spawn(suspected(pair.near.node().events().live));
    let failed = Instant::now();
    pair.isp("isp-a").blackhole(Way::Both);
    browser.until(&format!("{} !== 'in use'", state_of("isp-a"))).await;
    let shown = Instant::now();
    let known = timeout(DEADLINE, known).await.expect("it was never told").unwrap();
    let took = (shown - failed, shown.saturating_duration_since(known));
    let heading = "document.getElementById('verdict').textContent";
    browser
        .until(&format!("{heading}.startsWith('isp-a does not answer; flows go on over isp-b')"))
        .await;
    pair.isp("isp-a").heal(Way::Both);
    browser.until(&format!("{} === 'in use'", state_of("isp-a"))).await;
    took
}

/// Checks the page in a window of that width, by day and by night.
async fn check_looks(browser: &mut Chromium, width: u32) {
    let mut pages = Vec::new();
    for scheme in ["light", "dark"] {
        browser.show_as((width, 900), scheme).await;
        browser.until(&format!("innerWidth === {width}")).await;
        let scroll = browser.value("document.documentElement.scrollWidth").await;
        assert_eq!(scroll, width, "it is to be scrolled sideways");
        let contrast = browser.value(CONTRAST).await;
        assert!(contrast[0].as_f64() >= Some(4.5), "{scheme} {width}: {contrast}");
        pages.push(browser.value("getComputedStyle(document.body).backgroundColor").await);
    }
    assert_ne!(pages[0], pages[1], "by day and by night");
}

/// Checks that isp-b has a budget, to be read and to be heard, and isp-a has none.
async fn check_budget(browser: &mut Chromium) {
    let of = |uplink: &str| format!("document.querySelector('[data-uplink=\"{uplink}\"] .budget')");
    let text = "/^Budget: [\\d.]+ [kMG]?B of 20 GB used; it begins anew on \\d{4}-\\d\\d-01$/";
    browser.until(&format!("{text}.test({}.textContent)", of("isp-b"))).await;
    assert_eq!(browser.value(&format!("{}.checkVisibility()", of("isp-a"))).await, false);
    let meter = format!("{}.querySelector('meter')", of("isp-b"));
    assert_eq!(browser.value(&format!("{meter}.ariaLabel")).await, "Budget of isp-b that is used");
    assert_eq!(browser.value(&format!("{meter}.max")).await, 20_000_000_000_u64);
    let used = browser.value(&format!("{meter}.value")).await;
    assert!(used.as_f64() > Some(0.0), "{used}");
}

/// Drains isp-b with the token, and resumes it.
async fn drain(browser: &mut Chromium) {
    let button = "[data-uplink=\"isp-b\"] .drain";
    assert_eq!(browser.value(&format!("document.querySelector('{button}').hidden")).await, true);
    click(browser, "#unlock").await;
    browser.until("document.getElementById('token-dialog').open").await;
    browser.value(&format!("document.getElementById('token').value = '{TOKEN}'")).await;
    click(browser, "#token-form .primary").await;
    browser.until(&format!("!document.querySelector('{button}').hidden")).await;
    click(browser, button).await;
    click(browser, "#drain-confirm").await;
    browser.until(&format!("{} === 'draining'", state_of("isp-b"))).await;
    browser.until("document.getElementById('outcome').textContent === 'isp-b is drained.'").await;
    click(browser, button).await;
    browser.until(&format!("{} === 'in use'", state_of("isp-b"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_shows_a_failure_within_a_second_on_every_screen() {
    let Some(program) = program("the status page in Chromium") else { return };
    let _alone = alone().await;
    let (pair, addr, directory) = pair_with_page().await;
    let flows = Flows::start(pair.socks()).await;
    let mut browser = Chromium::start(&program, directory.path()).await;
    browser.open(&format!("http://{addr}/"), NOTE_FAULTS).await;
    for uplink in ["isp-a", "isp-b"] {
        let shown = format!("document.querySelector('[data-uplink=\"{uplink}\"] .state') !== null");
        browser.until(&shown).await;
        browser.until(&format!("{} === 'in use'", state_of(uplink))).await;
    }
    browser
        .until(
            "document.getElementById('verdict').textContent === 'All is well over isp-a and isp-b'",
        )
        .await;
    // On a machine that is busy with other tests one may be late.
    let mut took = Vec::new();
    while took.len() < 5 && took.last().is_none_or(|(_, last)| *last > BAR) {
        took.push(failure(&mut browser, &pair).await);
    }
    println!("shown after the failure, and after the daemon knew: {took:?}");
    assert!(took.last().is_some_and(|(_, last)| *last <= BAR), "{took:?}");
    browser
        .until("document.querySelectorAll('[data-uplink=\"isp-a\"] .plot .mark').length > 0")
        .await;
    browser.until("document.querySelectorAll('#failure-table tbody tr').length > 0").await;
    browser.until("/^\\d+$/.test(document.getElementById('survivors').textContent)").await;
    browser.until("/^\\d.* m?s$/.test(document.getElementById('gap').textContent)").await;
    browser.until("document.querySelectorAll('#flow-table tbody tr').length >= 3").await;
    browser.until("document.querySelectorAll('#events li').length > 3").await;
    check_budget(&mut browser).await;
    for width in [360, 1280] {
        check_looks(&mut browser, width).await;
    }
    // Only a keyboard.
    browser.value("document.querySelector('[data-uplink=\"isp-a\"] .plot').focus()").await;
    browser.press("ArrowLeft").await;
    browser.until("document.querySelector('.readout').textContent.includes('received')").await;
    drain(&mut browser).await;
    // No text becomes HTML, whoever tries.
    let tried = "(() => { try { document.body.innerHTML = '<b>x</b>'; return ''; } catch (error) { return error.name; } })()";
    let faults = browser.value("faults").await;
    assert_eq!(faults, serde_json::json!([]));
    assert_eq!(browser.value(tried).await, "TypeError");
    if let Some(to) = std::env::var_os(SCREENSHOTS) {
        pictures(&mut browser, &pair, &PathBuf::from(to)).await;
    }
    browser.end().await;
    flows.end().await;
    pair.shutdown().await;
}

/// Lets some minutes pass, in which both ISPs fail, and writes what is shown.
async fn pictures(browser: &mut Chromium, pair: &DaemonPair, to: &std::path::Path) {
    for (isp, after, duration) in
        [("isp-b", 60, 20), ("isp-a", 50, 3), ("isp-a", 50, 45), ("isp-b", 60, 12)]
    {
        tokio::time::sleep(Duration::from_secs(after)).await;
        pair.isp(isp).blackhole(Way::Both);
        tokio::time::sleep(Duration::from_secs(duration)).await;
        if after == 60 && duration == 12 {
            break;
        }
        pair.isp(isp).heal(Way::Both);
    }
    for (name, size, scheme) in [
        ("status-page-light", (1280, 1000), "light"),
        ("status-page-dark", (1280, 1000), "dark"),
        ("status-page-phone", (360, 780), "light"),
        ("status-page-phone-dark", (360, 780), "dark"),
    ] {
        browser.show_as(size, scheme).await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let picture = browser.screenshot().await;
        std::fs::write(to.join(format!("{name}.png")), picture).unwrap();
    }
    pair.isp("isp-b").heal(Way::Both);
}
