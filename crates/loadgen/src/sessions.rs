//! Multi-turn sessions: each turn is sent a think time after the answer before it and carries the whole conversation.
//!
//! The conversation holds the server's own answers, so the next prompt extends what the server has cached. Questions,
//! think times and the number of turns follow from the seed and the number of the session. Each session has a key in a
//! header, which a proxy can hash. A failed turn ends its session.

use crate::arrivals::schedule;
use crate::body::Api;
use crate::plan::Sessions;
use crate::prompts::{Content, Drawn, TOKEN_BYTES, message, pick, words};
use crate::random::{Use, stream};
use crate::run::StageRun;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Wait after a failed turn, so that a refusing server is not asked without end.
const FAILURE_PAUSE: Duration = Duration::from_millis(100);

/// A conversation as JSON text that the next request carries.
#[derive(Debug)]
struct Conversation {
    api: Api,
    text: String,
}

/// Sends one stage with `alive` sessions at a time and waits for its last answer.
pub(crate) async fn drive(run: Arc<StageRun>, sessions: &Sessions, alive: u32) {
    let seed = run.seed;
    let mut rng = stream(seed, Use::Arrivals, 0);
    let starts = schedule(sessions.process, alive as usize, sessions.ramp.as_nanos() as u64, &mut rng);
    let shared: Arc<str> = sessions
        .system
        .as_ref()
        .map_or_else(String::new, |law| {
            let mut rng = stream(seed, Use::SharedText, 0);
            words(law.sample(&mut rng), &mut rng)
        })
        .into();
    let sessions = Arc::new(sessions.clone());
    for (slot, start) in (0u32..).zip(starts) {
        let (run, sessions, shared) = (run.clone(), sessions.clone(), shared.clone());
        let place = run.clone();
        place.tasks.spawn(async move {
            let user = User { run: &run, sessions: &sessions, shared: &shared };
            let stop = run.context.stop.clone();
            let _ = stop.run_until_cancelled(user.stay(slot, alive, Duration::from_nanos(start))).await;
        });
    }
    run.drain().await;
}

/// Who holds one session after the other.
struct User<'a> {
    run: &'a StageRun,
    sessions: &'a Sessions,
    shared: &'a str,
}

impl User<'_> {
    async fn stay(&self, slot: u32, alive: u32, start: Duration) {
        let mut at = self.run.start + start;
        for generation in 0u64.. {
            let id = generation * u64::from(alive) + u64::from(slot);
            at = self.converse(id, generation == 0 && self.sessions.under_way, at).await;
            if self.sessions.span.is_none() || self.over(at) {
                return;
            }
        }
    }

    /// Holds session `id`, beginning `at` (at a random turn if it is met `under_way`); gives the time at which this user
    /// would begin the next one.
    async fn converse(&self, id: u64, under_way: bool, mut at: Instant) -> Instant {
        let sessions = self.sessions;
        let plan = &self.run.context.plan;
        let mut rng = stream(self.run.seed, Use::Session, id);
        let weights: Vec<f64> = plan.models.iter().map(|model| model.weight).collect();
        let model = pick(&weights, &mut rng);
        let turns = sessions.turns.sample(&mut rng);
        let met_at = if under_way { rng.u32(..turns) } else { 0 };
        let mut conversation = Conversation::new(plan.api, self.shared);
        for turn in 0..turns {
            let law = if turn == 0 { &sessions.first } else { &sessions.question };
            let question_tokens = law.sample(&mut rng);
            conversation.ask(&words(question_tokens, &mut rng));
            let output_tokens = sessions.output.sample(&mut rng);
            let think = sessions.think.sample(&mut rng);
            if turn < met_at {
                conversation.answered(&words(output_tokens, &mut rng));
                continue;
            }
            tokio::time::sleep_until(at.into()).await;
            if self.over(at) {
                return at;
            }
            let drawn = conversation.request(model, output_tokens);
            let index = (id << 32) | u64::from(turn);
            let (mut asked, mut call) =
                self.run.prepare(index, &drawn, at.saturating_duration_since(self.run.start));
            (asked.session, asked.turn) = (Some(id), Some(turn));
            let target = ((id + u64::from(turn)) % plan.targets.len() as u64) as u32;
            (asked.target, call.target) = (target, target);
            call.session =
                Some((sessions.header.clone(), format!("{:x}-{}-{id}", plan.seed, self.run.number)));
            call.keep_text = true;
            let Some((text, end)) = self.run.exchange(asked, call, at).await else {
                return Instant::now() + think.max(FAILURE_PAUSE);
            };
            conversation.answered(&text);
            at = end + think;
        }
        at
    }

    fn over(&self, at: Instant) -> bool {
        self.sessions.span.is_some_and(|span| at >= self.run.start + span)
    }
}

impl Conversation {
    /// One with a shared beginning, which may be empty.
    fn new(api: Api, shared: &str) -> Self {
        let text = match api {
            Api::Chat if !shared.is_empty() => message("system", shared),
            _ => shared.to_owned(),
        };
        Self { api, text }
    }

    fn ask(&mut self, question: &str) {
        self.push("user", question);
    }

    fn answered(&mut self, answer: &str) {
        self.push("assistant", answer);
    }

    fn request(&self, model: usize, output_tokens: u32) -> Drawn {
        let input_tokens = self.text.len().div_ceil(TOKEN_BYTES) as u32;
        let content = match self.api {
            Api::Chat => Content::Messages(self.text.clone()),
            Api::Completions => Content::Prompt(self.text.clone()),
        };
        Drawn { content, input_tokens, output_tokens, group: None, model }
    }

    fn push(&mut self, role: &str, text: &str) {
        if self.api == Api::Completions {
            return self.text.push_str(text);
        }
        if !self.text.is_empty() {
            self.text.push(',');
        }
        self.text.push_str(&message(role, text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chat_conversation_grows_by_question_and_answer() {
        let mut conversation = Conversation::new(Api::Chat, "be kind ");
        conversation.ask("one ");
        let first = conversation.request(0, 5);
        conversation.answered(r#"a \"quoted\" answer"#);
        conversation.ask("two ");
        let Content::Messages(inside) = conversation.request(0, 5).content else { panic!("not messages") };
        let value: serde_json::Value = serde_json::from_str(&format!("[{inside}]")).unwrap();
        let roles: Vec<&str> =
            value.as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["system", "user", "assistant", "user"]);
        assert_eq!(value[2]["content"], "a \"quoted\" answer");
        let Content::Messages(before) = first.content else { panic!("not messages") };
        assert!(inside.starts_with(&before));
    }

    #[test]
    fn a_plain_conversation_is_one_growing_text() {
        let mut conversation = Conversation::new(Api::Completions, "");
        conversation.ask("bab ");
        conversation.answered("cac dad ");
        conversation.ask("faf ");
        let drawn = conversation.request(2, 9);
        assert_eq!(drawn.content, Content::Prompt("bab cac dad faf ".into()));
        assert_eq!((drawn.input_tokens, drawn.output_tokens, drawn.model), (4, 9, 2));
    }
}
