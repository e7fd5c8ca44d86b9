use super::*;
use parking_lot::{Condvar, Mutex};
use std::time::{Duration, UNIX_EPOCH};

const PATIENCE: Duration = Duration::from_secs(10);

/// A writer whose bytes the test can read, and whose first write can be held back.
#[derive(Clone, Default)]
struct Page {
    bytes: Arc<Mutex<Vec<u8>>>,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    shut: Mutex<bool>,
    opened: Condvar,
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut shut = self.gate.shut.lock();
        while *shut {
            self.gate.opened.wait(&mut shut);
        }
        self.bytes.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.bytes.lock().clone()).unwrap()
    }
}

fn entry() -> AccessEntry<'static> {
    AccessEntry {
        time: UNIX_EPOCH + Duration::from_millis(1_795_373_232_007),
        request_id: "r-1",
        method: "POST",
        path: "/v1/completions",
        model: "sql-lora",
        target_model: "sql-lora",
        endpoint: "10.0.0.1:8000",
        status: 200,
        ttft_ms: Some(41.5),
        duration_ms: 180.25,
        prompt_tokens: Some(512),
        cached_tokens: Some(480),
        output_tokens: Some(50),
        queue_ms: 0.0,
        attempts: 1,
        bytes_in: 2048,
        bytes_out: 9001,
        why: "warm",
        error: "",
    }
}

#[test]
fn a_json_line_carries_the_fields_that_are_known() {
    let page = Page::default();
    let log = AccessLog::to(Box::new(page.clone()), true);
    log.write(&entry());
    assert!(log.finish(PATIENCE));
    assert_eq!(
        page.text(),
        concat!(
            r#"{"time":"2026-11-22T18:47:12.007Z","request_id":"r-1","method":"POST","path":"/v1/completions","#,
            r#""model":"sql-lora","target_model":"sql-lora","endpoint":"10.0.0.1:8000","status":200,"#,
            r#""ttft_ms":41.500,"duration_ms":180.250,"prompt_tokens":512,"cached_tokens":480,"#,
            r#""output_tokens":50,"queue_ms":0.000,"attempts":1,"bytes_in":2048,"bytes_out":9001,"why":"warm"}"#,
            "\n"
        )
    );
}

#[test]
fn a_text_line_is_short_and_readable() {
    let page = Page::default();
    let log = AccessLog::to(Box::new(page.clone()), false);
    log.write(&entry());
    assert!(log.finish(PATIENCE));
    assert_eq!(
        page.text(),
        "2026-11-22T18:47:12.007Z 200 POST /v1/completions 180.2ms ttft=41.5ms model=sql-lora \
         endpoint=10.0.0.1:8000 prompt_tokens=512 cached_tokens=480 output_tokens=50 why=warm id=r-1\n"
    );
}

#[test]
fn hostile_text_stays_inside_its_field_and_line() {
    let hostile = "a\"b\\c\nd\u{1b}[31me\u{2028}f\tg\u{0}h";
    let mut json = String::new();
    AccessEntry { path: hostile, duration_ms: f64::NAN, ..entry() }.json(&mut json);
    assert_eq!(json.matches('\n').count(), 1);
    assert!(json.contains(r#""path":"a\"b\\c\nd\u001b[31me\u2028f\tg\u0000h""#), "{json}");
    assert!(json.contains(r#""duration_ms":0.000"#), "{json}");

    let mut text = String::new();
    AccessEntry { path: hostile, ..entry() }.text(&mut text);
    assert_eq!(text.matches('\n').count(), 1);
    assert!(!text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn a_long_field_is_cut_between_characters() {
    let mut json = String::new();
    let model = "é".repeat(5000);
    AccessEntry { model: &model, ..entry() }.json(&mut json);
    assert!(json.len() < 1500, "{}", json.len());
}

#[test]
fn a_reader_that_stalls_costs_lines_and_not_time() {
    let page = Page::default();
    *page.gate.shut.lock() = true;
    let log = AccessLog::to(Box::new(page.clone()), true);
    let lines: u64 = 20_000;
    for _ in 0..lines {
        log.write(&entry());
    }
    let dropped = log.dropped();
    assert!(dropped > 0);

    *page.gate.shut.lock() = false;
    page.gate.opened.notify_all();
    assert!(log.finish(PATIENCE));

    assert_eq!(page.text().lines().count() as u64 + log.dropped(), lines);
    assert!(page.text().len() <= 2 * BUFFER_BYTES_MAX);
}

#[test]
fn lines_after_the_end_are_dropped() {
    let page = Page::default();
    let log = AccessLog::to(Box::new(page.clone()), true);
    assert!(log.finish(PATIENCE));
    log.write(&entry());
    assert_eq!(log.dropped(), 1);
    assert_eq!(page.text(), "");
}

#[test]
fn the_disabled_log_takes_lines_and_ends_at_once() {
    let log = AccessLog::disabled();
    log.write(&entry());
    assert!(!log.enabled());
    assert!(log.finish(Duration::ZERO));
}
