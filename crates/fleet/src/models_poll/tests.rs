use super::*;
use crate::testing::{Exchange, Script, Seen, ms};

const ONE: &str = r#"{"data":[{"id":"base"}]}"#;
const SAME_LIST: &str = r#"{"data":[{"id":"base","created":7}]}"#;
const TWO: &str = r#"{"data":[{"id":"base"},{"id":"sql","parent":"base"}]}"#;

fn start(exchanges: impl IntoIterator<Item = Exchange>) -> (Seen, SharedPage) {
    let (seen, page) = (Seen::new(), SharedPage::default());
    let poll = ModelsPoll {
        endpoint: EndpointId(1),
        source: Script::new(exchanges),
        sink: Arc::new(seen.clone()),
        metrics: FleetMetrics::default(),
        pace: Pace::new(Duration::from_secs(1), ms(100)),
        page: page.clone(),
        known: None,
    };
    tokio::spawn(poll.run());
    (seen, page)
}

#[tokio::test(start_paused = true)]
async fn only_a_changed_list_is_reported() {
    let (seen, page) = start([ONE, ONE, SAME_LIST, TWO, TWO, ONE].map(Exchange::page));
    sleep(ms(4500)).await;
    assert_eq!(seen.facts(), ["base", "base,sql"]);
    assert_eq!(page.lock().as_deref(), Some(TWO.as_bytes()));
    sleep(ms(1500)).await;
    assert_eq!(seen.facts(), ["base", "base,sql", "base"]);
}

#[tokio::test(start_paused = true)]
async fn the_last_page_is_kept_even_when_only_its_text_changed() {
    let (seen, page) = start([ONE, SAME_LIST].map(Exchange::page));
    sleep(ms(2500)).await;
    assert_eq!(seen.facts(), ["base"]);
    assert_eq!(page.lock().as_deref(), Some(SAME_LIST.as_bytes()));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_list_is_not_reported_and_takes_nothing_back() {
    let (seen, page) = start([
        Exchange::status(404, "no"),
        Exchange::page("<html>"),
        Exchange::refused(),
        Exchange::page(ONE),
        Exchange::status(500, TWO),
        Exchange::page("{"),
        Exchange::hung(),
    ]);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(seen.facts(), ["base"]);
    assert_eq!(page.lock().as_deref(), Some(ONE.as_bytes()));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_comes_up_late_is_asked_again_soon() {
    let (seen, _) = start([Exchange::refused(), Exchange::refused(), Exchange::page(ONE)]);
    sleep(ms(600)).await;
    assert_eq!(seen.facts(), ["base"]);
}

#[tokio::test(start_paused = true)]
async fn a_hung_endpoint_is_asked_again_on_a_new_connection() {
    let (seen, _) = start([Exchange::hung(), Exchange::page(ONE)]);
    sleep(ms(2300)).await;
    assert_eq!(seen.facts(), ["base"]);
}
