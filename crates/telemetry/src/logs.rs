//! The process's log: text with colours on a terminal, JSON lines otherwise, on standard error.
//!
//! Installed once by the binary. The log is for events of the process and its endpoints; requests have the
//! access log, which costs far less a line.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// One readable line an event; colours on a terminal.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why the log could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The user's filter makes no sense.
    #[error("log filter {filter:?} is not understood: {source}")]
    Filter {
        /// What was given.
        filter: String,
        /// Where it fails.
        source: ParseError,
    },
    /// A log is already installed in this process.
    #[error("the log is already set up: {0}")]
    AlreadySet(#[from] TryInitError),
}

/// Installs the log for the process. `filter` is a level (`info`) or directives (`info,roadstead_fleet=debug`).
pub fn init(format: LogFormat, filter: &str) -> Result<(), LogError> {
    let directives = EnvFilter::builder()
        .parse(filter)
        .map_err(|source| LogError::Filter { filter: filter.to_owned(), source })?;
    let terminal = io::stderr().is_terminal();
    let base = tracing_subscriber::fmt().with_env_filter(directives).with_writer(io::stderr);
    if format.json(terminal) {
        base.json().flatten_event(true).with_current_span(true).with_span_list(false).finish().try_init()?;
    } else {
        base.compact().with_ansi(terminal).finish().try_init()?;
    }
    Ok(())
}

impl LogFormat {
    /// Whether lines are JSON, given whether they go to a terminal.
    pub(crate) fn json(self, terminal: bool) -> bool {
        match self {
            LogFormat::Auto => !terminal,
            LogFormat::Text => false,
            LogFormat::Json => true,
        }
    }
}

impl std::str::FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<LogFormat, String> {
        match text {
            "auto" => Ok(LogFormat::Auto),
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            other => Err(format!("{other:?} is no log format; use auto, text or json")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_is_text_on_a_terminal_and_json_elsewhere() {
        assert!(!LogFormat::Auto.json(true));
        assert!(LogFormat::Auto.json(false));
        assert!(!LogFormat::Text.json(false));
        assert!(LogFormat::Json.json(true));
    }

    #[test]
    fn a_filter_that_makes_no_sense_is_named() {
        let error = init(LogFormat::Text, "roadstead=loud").unwrap_err();
        assert!(error.to_string().contains("roadstead=loud"), "{error}");
    }

    #[test]
    fn formats_parse_by_name() {
        assert_eq!("json".parse(), Ok(LogFormat::Json));
        assert!("xml".parse::<LogFormat>().is_err());
    }
}
