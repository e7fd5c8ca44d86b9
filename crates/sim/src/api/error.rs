//! Errors as vLLM words them, and the reading of request bodies that leads to most of them.
//!
//! Bodies are parsed straight into their type; only where that fails is the body looked at again to say, in
//! pydantic's words, what is wrong with it.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::error::Category;

use super::{Reply, json};
use crate::driver::SubmitError;

/// An answer that is an error. `error.code` is the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    /// `error.type`; empty for errors of the framework, which are `{"detail": …}`.
    pub(crate) kind: &'static str,
    pub(crate) message: String,
    pub(crate) param: Option<String>,
}

impl ApiError {
    /// 400 from a check of vLLM's own.
    pub(crate) fn bad_request(message: impl Into<String>) -> ApiError {
        ApiError {
            status: StatusCode::BAD_REQUEST,
            kind: "BadRequestError",
            message: message.into(),
            param: None,
        }
    }

    /// 400 for the value of one parameter, which the message then names too.
    pub(crate) fn bad_parameter(message: &str, param: &str, value: impl std::fmt::Display) -> ApiError {
        let mut error = ApiError::bad_request(format!("{message} (parameter={param}, value={value})"));
        error.param = Some(param.to_owned());
        error
    }

    /// 404.
    pub(crate) fn not_found(message: impl Into<String>, param: Option<&str>) -> ApiError {
        ApiError {
            status: StatusCode::NOT_FOUND,
            kind: "NotFoundError",
            message: message.into(),
            param: param.map(str::to_owned),
        }
    }

    /// 400 from the framework's validation; `loc` is where in the body.
    fn invalid(detail: &str, loc: Option<&str>) -> ApiError {
        ApiError {
            status: StatusCode::BAD_REQUEST,
            kind: "Bad Request",
            message: format!("1 validation error:\n  {detail}"),
            param: loc.map(str::to_owned),
        }
    }

    /// An error of the framework itself: `{"detail": …}`.
    pub(crate) fn detail(status: StatusCode, detail: &str) -> ApiError {
        ApiError { status, kind: "", message: detail.to_owned(), param: None }
    }

    /// A required field is absent from an object of `fields` fields.
    pub(crate) fn missing(field: &str, fields: usize) -> ApiError {
        let loc = format!("body.{field}");
        let detail = format!(
            "{{'type': 'missing', 'loc': '{loc}', 'msg': 'Field required', 'input': '<dict of {fields} items>'}}"
        );
        ApiError::invalid(&detail, Some(&loc))
    }

    /// The error as an answer.
    pub(crate) fn reply(&self) -> Reply {
        #[derive(Serialize)]
        struct Body<'a> {
            error: Fields<'a>,
        }
        #[derive(Serialize)]
        struct Fields<'a> {
            message: &'a str,
            r#type: &'a str,
            param: Option<&'a str>,
            code: u16,
        }
        if self.kind.is_empty() {
            return json(self.status, serde_json::json!({ "detail": self.message }).to_string());
        }
        let fields = Fields {
            message: &self.message,
            r#type: self.kind,
            param: self.param.as_deref(),
            code: self.status.as_u16(),
        };
        let body = serde_json::to_vec(&Body { error: fields });
        json(self.status, body.expect("strings and numbers always serialise"))
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> ApiError {
        use roadstead_engine::Refused;
        let (status, kind) = match error {
            SubmitError::Refused(Refused::QueueFull { .. }) | SubmitError::Gone => {
                (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailableError")
            }
            SubmitError::Refused(Refused::TooLong { .. }) => (StatusCode::BAD_REQUEST, "BadRequestError"),
            SubmitError::Refused(Refused::UnknownAdapter) => (StatusCode::NOT_FOUND, "NotFoundError"),
        };
        ApiError { status, kind, message: error.to_string(), param: None }
    }
}

/// What a field must be, for the wording of its absence or of another type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Whole,
    Flag,
}

/// Reads a body of JSON. `fields` are looked at, in order, when it is of another shape.
pub(crate) fn parse<T: DeserializeOwned>(
    head: &HeaderMap,
    body: &Bytes,
    fields: &[(&str, Kind)],
) -> Result<T, ApiError> {
    let content_type =
        head.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        let detail = "Unsupported Media Type: Only 'application/json' is allowed";
        return Err(ApiError::invalid(detail, None));
    }
    if body.is_empty() {
        let detail = "{'type': 'missing', 'loc': 'body', 'msg': 'Field required', 'input': 'None'}";
        return Err(ApiError::invalid(detail, Some("body")));
    }
    serde_json::from_slice(body).map_err(|error| explain(&error, body, fields))
}

/// How many fields the object in `body` has; 0 when it is none.
pub(crate) fn field_count(body: &Bytes) -> usize {
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => fields.len(),
        _ => 0,
    }
}

fn explain(error: &serde_json::Error, body: &Bytes, fields: &[(&str, Kind)]) -> ApiError {
    let Ok(text) = std::str::from_utf8(body) else { return unreadable() };
    match error.classify() {
        Category::Data => match serde_json::from_str(text) {
            Ok(value) => explain_shape(error, &value, fields),
            Err(_) => unreadable(),
        },
        _ if error.to_string().contains("recursion limit") => unreadable(),
        category => explain_syntax(error, category, text),
    }
}

fn unreadable() -> ApiError {
    ApiError::detail(StatusCode::BAD_REQUEST, "There was an error parsing the body")
}

fn explain_syntax(error: &serde_json::Error, category: Category, text: &str) -> ApiError {
    let words = error.to_string();
    let (reason, quote) = if words.starts_with("key must be a string") || words.starts_with("trailing comma")
    {
        ("Expecting property name enclosed in double quotes", '\'')
    } else if words.starts_with("expected `,`") || words.starts_with("EOF while parsing an object") {
        ("Expecting ',' delimiter", '"')
    } else if words.starts_with("expected `:`") {
        ("Expecting ':' delimiter", '"')
    } else if words.starts_with("EOF while parsing a string") {
        ("Unterminated string starting at", '\'')
    } else if words.starts_with("trailing characters") {
        ("Extra data", '\'')
    } else {
        ("Expecting value", '\'')
    };
    let at = offset(error, category, text);
    let loc = format!("body.{at}");
    let detail = format!(
        "{{'type': 'json_invalid', 'loc': '{loc}', 'msg': 'JSON decode error', 'input': '<dict of 0 items>', 'ctx': {{'error': {quote}{reason}{quote}}}}}"
    );
    ApiError::invalid(&detail, Some(&loc))
}

/// Where the parser stopped, in characters.
fn offset(error: &serde_json::Error, category: Category, text: &str) -> usize {
    let before: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let column = if category == Category::Eof { error.column() } else { error.column().saturating_sub(1) };
    let bytes = (before + column).min(text.len());
    text.char_indices().take_while(|(at, _)| *at < bytes).count()
}

fn explain_shape(error: &serde_json::Error, value: &Value, fields: &[(&str, Kind)]) -> ApiError {
    let Value::Object(object) = value else {
        let detail = format!(
            "{{'type': 'model_attributes_type', 'loc': 'body', 'msg': 'Input should be a valid dictionary or object to extract fields from', 'input': '{}'}}",
            repr(value)
        );
        return ApiError::invalid(&detail, Some("body"));
    };
    for (name, kind) in fields {
        let Some(found) = object.get(*name).filter(|found| !found.is_null()) else { continue };
        let (code, msg) = match (kind, found) {
            (Kind::Text, Value::String(_)) | (Kind::Flag, Value::Bool(_)) => continue,
            (Kind::Whole, Value::Number(number)) if number.is_i64() => continue,
            (Kind::Text, _) => ("string_type", "Input should be a valid string"),
            (Kind::Whole, Value::String(_)) => {
                ("int_parsing", "Input should be a valid integer, unable to parse string as an integer")
            }
            (Kind::Whole, _) => ("int_type", "Input should be a valid integer"),
            (Kind::Flag, _) => ("bool_type", "Input should be a valid boolean"),
        };
        let loc = format!("body.{name}");
        let detail =
            format!("{{'type': '{code}', 'loc': '{loc}', 'msg': '{msg}', 'input': '{}'}}", repr(found));
        return ApiError::invalid(&detail, Some(&loc));
    }
    ApiError::bad_request(error.to_string())
}

/// A value as the validation messages show it.
fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(flag) => if *flag { "True" } else { "False" }.to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("<list of {} items>", items.len()),
        Value::Object(fields) => format!("<dict of {} items>", fields.len()),
    }
}
