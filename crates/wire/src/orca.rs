//! The load that an engine reports on its answers (ORCA's native HTTP forms), read and written.
//!
//! `endpoint-load-metrics: JSON {"named_metrics": {…}}` or `TEXT named_metrics.k=v, …`, as vLLM writes them.
//! Read when an answer arrives, written by the simulated engines. Tolerant: unknown names and broken numbers
//! are passed over.

use roadstead_core::EngineState;

use crate::json::Cursor;

const WAITING: &str = "num_requests_waiting";
const RUNNING: &str = "num_requests_running";
const KV_USAGE: &str = "kv_cache_usage_perc";
/// An older name of [`KV_USAGE`].
const KV_USAGE_OLD: &str = "kv_cache_utilization";
const NAMED: &str = "named_metrics";

/// The forms that a client can ask for in `endpoint-load-metrics-format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `JSON {…}`.
    Json,
    /// `TEXT k=v, …`.
    Text,
}

impl Format {
    /// The form that a request's `endpoint-load-metrics-format` names.
    pub fn asked(value: &[u8]) -> Option<Format> {
        let value = value.trim_ascii();
        match () {
            () if value.eq_ignore_ascii_case(b"json") => Some(Format::Json),
            () if value.eq_ignore_ascii_case(b"text") => Some(Format::Text),
            () => None,
        }
    }
}

/// Reads the header's value; `None` where it is in no form that we know or names nothing that we know.
pub fn parse(value: &[u8]) -> Option<EngineState> {
    let value = value.trim_ascii();
    let space = value.iter().position(u8::is_ascii_whitespace)?;
    let (form, report) = value.split_at(space);
    let mut state = EngineState::default();
    match Format::asked(form)? {
        Format::Json => read_json(report, &mut state, true),
        Format::Text => read_text(report, &mut state),
    }
    (state != EngineState::default()).then_some(state)
}

/// Writes the header's value for what `state` knows.
pub fn write(state: &EngineState, format: Format) -> String {
    let metrics = [
        (WAITING, state.waiting.map(f64::from)),
        (RUNNING, state.running.map(f64::from)),
        (KV_USAGE, state.kv_usage.map(f64::from)),
    ];
    let known = metrics.into_iter().filter_map(|(name, value)| Some((name, value?)));
    match format {
        Format::Json => {
            let members: Vec<_> = known.map(|(name, value)| format!("\"{name}\": {value:?}")).collect();
            format!("JSON {{\"{NAMED}\": {{{}}}}}", members.join(", "))
        }
        Format::Text => {
            let pairs: Vec<_> = known.map(|(name, value)| format!("{NAMED}.{name}={value:?}")).collect();
            format!("TEXT {}", pairs.join(", "))
        }
    }
}

fn read_json(object: &[u8], state: &mut EngineState, outer: bool) {
    let mut cursor = Cursor::new(object);
    let _whatever_was_read_counts = cursor.members(|key, value| {
        if outer && *key == *NAMED.as_bytes() {
            read_json(&object[value], state, false);
        } else {
            set(state, &key, &object[value]);
        }
    });
}

fn read_text(report: &[u8], state: &mut EngineState) {
    for pair in report.split(|byte| *byte == b',') {
        let mut sides = pair.splitn(2, |byte| *byte == b'=');
        let (Some(name), Some(value)) = (sides.next(), sides.next()) else { continue };
        let name = name.trim_ascii();
        let name =
            name.strip_prefix(NAMED.as_bytes()).and_then(|name| name.strip_prefix(b".")).unwrap_or(name);
        set(state, name, value.trim_ascii());
    }
}

fn set(state: &mut EngineState, name: &[u8], value: &[u8]) {
    let number = std::str::from_utf8(value).ok().and_then(|text| text.parse::<f64>().ok());
    let Some(number) = number.filter(|number| number.is_finite() && *number >= 0.0) else { return };
    match () {
        () if name == WAITING.as_bytes() => state.waiting = Some(number as u32),
        () if name == RUNNING.as_bytes() => state.running = Some(number as u32),
        () if name == KV_USAGE.as_bytes() || name == KV_USAGE_OLD.as_bytes() => {
            state.kv_usage = Some(number.min(1.0) as f32);
        }
        () => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(waiting: u32, kv_usage: f32) -> EngineState {
        EngineState { waiting: Some(waiting), kv_usage: Some(kv_usage), ..EngineState::default() }
    }

    #[test]
    fn reads_what_vllm_writes() {
        let head = include_str!("../tests/fixtures/completion-orca.http");
        let line = head.lines().find_map(|line| line.strip_prefix("endpoint-load-metrics: ")).unwrap();
        assert_eq!(parse(line.as_bytes()), Some(state(0, 0.0)));
        let text = b"TEXT named_metrics.kv_cache_usage_perc=0.25, named_metrics.num_requests_waiting=3.0";
        assert_eq!(parse(text), Some(state(3, 0.25)));
    }

    #[test]
    fn both_forms_round_trip() {
        let state = EngineState { running: Some(7), ..state(3, 0.25) };
        let json = write(&state, Format::Json);
        assert_eq!(
            json,
            "JSON {\"named_metrics\": {\"num_requests_waiting\": 3.0, \"num_requests_running\": 7.0, \
             \"kv_cache_usage_perc\": 0.25}}"
        );
        assert_eq!(parse(json.as_bytes()), Some(state.clone()));
        let text = write(&state, Format::Text);
        assert!(text.starts_with("TEXT named_metrics.num_requests_waiting=3.0, "), "{text}");
        assert_eq!(parse(text.as_bytes()), Some(state));
    }

    #[test]
    fn tolerates_other_reports() {
        assert_eq!(
            parse(b"text num_requests_waiting=2,x=1,=,junk"),
            Some(EngineState { waiting: Some(2), ..EngineState::default() })
        );
        assert_eq!(
            parse(br#"JSON {"cpu_utilization":0.3,"named_metrics":{"kv_cache_utilization":7}}"#),
            Some(EngineState { kv_usage: Some(1.0), ..EngineState::default() })
        );
        for none in [
            "",
            "JSON",
            "JSON {",
            "BIN AAAA",
            "JSON {\"named_metrics\":{\"num_requests_waiting\":-1}}",
            "TEXT num_requests_waiting=nan",
            "JSON []",
        ] {
            assert_eq!(parse(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn formats_are_asked_for_in_any_case() {
        assert_eq!(Format::asked(b"JSON"), Some(Format::Json));
        assert_eq!(Format::asked(b" text "), Some(Format::Text));
        assert_eq!(Format::asked(b"BIN"), None);
    }
}
