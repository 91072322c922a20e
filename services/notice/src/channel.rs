//! The webhook: a signed POST that the other side may see more than once, always with the same key.

use aws_lc_rs::hmac;
use chassis::SettingError;
use chassis::failpoint::crash_point;
use chassis::http::idempotency;
use chassis::http::problem::chain;
use chassis::http::trace::{TRACEPARENT, TraceContext};
use jiff::Timestamp;
use reqwest::redirect::Policy;
use reqwest::{StatusCode, Url};
use serde::Serialize;

use crate::config::ChannelSettings;
use crate::domain::{Kind, Notice};

pub const SIGNATURE: &str = "x-signature";

/// How a message fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Delivered,
    /// The other side does not want this message, now or later.
    Refused(String),
    /// It may go through another time.
    NotNow(String),
}

pub struct Webhook {
    http: reqwest::Client,
    url: Url,
    key: hmac::Key,
}

/// What is posted.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Post<'a> {
    id: i64,
    to: &'a str,
    text: &'a str,
    kind: Kind,
    reservation_id: i64,
    created_at: Timestamp,
}

impl Webhook {
    pub fn new(settings: &ChannelSettings) -> Result<Self, SettingError> {
        let url = Url::parse(&settings.url).map_err(|error| SettingError::new("channel.url", error))?;
        let http = reqwest::Client::builder()
            .timeout(settings.timeout)
            // A message goes where the settings say and nowhere else.
            .redirect(Policy::none())
            .build()
            .map_err(|error| SettingError::new("channel.url", error))?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, settings.secret.reveal().as_bytes());
        Ok(Self { http, url, key })
    }

    pub async fn post(&self, notice: &Notice, now: Timestamp, trace: TraceContext) -> Outcome {
        let post = Post {
            id: notice.id,
            to: notice.recipient.phone.as_deref().unwrap_or_default(),
            text: &notice.text(),
            kind: notice.kind,
            reservation_id: notice.reservation_id,
            created_at: Timestamp::from_millisecond(notice.created_at).unwrap_or_default(),
        };
        let body = match serde_json::to_string(&post) {
            Ok(body) => body,
            Err(error) => return Outcome::Refused(error.to_string()),
        };
        let request = self
            .http
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header(idempotency::HEADER, format!("notice-{}", notice.id))
            .header(TRACEPARENT, trace.to_string())
            .header(SIGNATURE, self.signature(now.as_second(), &body))
            .body(body);
        crash_point("webhook.before-call");
        let sent = request.send().await;
        crash_point("webhook.after-answer");
        match sent {
            Ok(response) => judge(response.status()),
            // Its address may hold a key of the provider's.
            Err(error) => Outcome::NotNow(chain(&error.without_url())),
        }
    }

    /// `t=<seconds>,v1=<HMAC-SHA256 of "<seconds>.<body>", in hex>`
    fn signature(&self, seconds: i64, body: &str) -> String {
        let tag = hmac::sign(&self.key, format!("{seconds}.{body}").as_bytes());
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("t={seconds},v1={hex}")
    }
}

fn judge(status: StatusCode) -> Outcome {
    let answer = format!("it answered {status}");
    let may_pass = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    match status.as_u16() {
        200..300 => Outcome::Delivered,
        400..500 if !may_pass => Outcome::Refused(answer),
        _ => Outcome::NotNow(answer),
    }
}
