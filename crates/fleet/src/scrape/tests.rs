use super::*;
use crate::engines::VLLM;
use crate::testing::{Exchange, Script, ScriptLog, Seen, ms};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

const PAGE_1: &str = "vllm:num_requests_waiting 1\n";
const PAGE_2: &str = "vllm:num_requests_waiting 2\n";

struct Bench {
    seen: Seen,
    metrics: FleetMetrics,
    log: Arc<Mutex<ScriptLog>>,
    task: JoinHandle<()>,
}

impl Bench {
    fn start(exchanges: impl IntoIterator<Item = Exchange>) -> Bench {
        let (seen, metrics) = (Seen::new(), FleetMetrics::default());
        let source = Script::new(exchanges);
        let log = source.log.clone();
        let scraper = Scraper {
            endpoint: EndpointId(1),
            source,
            reader: Arc::new(PageReader::new(&VLLM)),
            sink: Arc::new(seen.clone()),
            metrics: metrics.clone(),
            pace: Pace::new(ms(50), ms(50)),
            silent: false,
            load_only: 0,
        };
        Bench { seen, metrics, log, task: tokio::spawn(scraper.run()) }
    }

    /// Facts of the first `time`.
    async fn facts_after(&self, time: Duration) -> Vec<String> {
        sleep(time).await;
        self.seen.facts()
    }

    fn errors(&self, error: ScrapeError) -> u64 {
        self.metrics.scrape_errors(error)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Milliseconds between the sends.
fn gaps(log: &Mutex<ScriptLog>) -> Vec<u64> {
    log.lock().sent.windows(2).map(|pair| (pair[1] - pair[0]).as_millis() as u64).collect()
}

#[tokio::test(start_paused = true)]
async fn pages_are_read_at_the_interval_with_jitter() {
    let bench = Bench::start(vec![Exchange::page(PAGE_1); 100]);
    let facts = bench.facts_after(ms(2000)).await;
    assert!((35..=45).contains(&facts.len()), "{}", facts.len());
    assert!(facts.iter().all(|fact| fact == "waiting 1"));
    let gaps = gaps(&bench.log);
    assert!(gaps.iter().all(|gap| (45..=56).contains(gap)), "{gaps:?}");
    assert!(gaps.iter().max() > gaps.iter().min(), "no jitter: {gaps:?}");
    assert_eq!(bench.metrics.scrapes.get(), facts.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn a_hung_endpoint_is_silent_once_and_back_with_its_first_good_answer() {
    let bench = Bench::start([
        Exchange::page(PAGE_1),
        Exchange::hung(),
        Exchange::hung(),
        Exchange::page(PAGE_2).after(ms(700)),
        Exchange::page(PAGE_2),
    ]);
    let facts = bench.facts_after(ms(5300)).await;
    assert_eq!(facts, ["waiting 1", "silent", "waiting 2", "waiting 2"]);
    let timed = bench.seen.timed();
    let hung_for = timed[1].0 - timed[0].0;
    assert!((600..=660).contains(&hung_for), "{timed:?}");
    // Two connections are given up after 2.1 s each; the third answers.
    assert_eq!(bench.log.lock().closed, 2);
    assert_eq!(bench.errors(ScrapeError::Silent), 2);
}

#[tokio::test(start_paused = true)]
async fn a_second_hang_is_reported_again() {
    let late = || Exchange::page(PAGE_1).after(ms(1000));
    let bench = Bench::start([late(), late(), Exchange::page(PAGE_1)]);
    let facts = bench.facts_after(ms(2300)).await;
    assert_eq!(facts, ["silent", "waiting 1", "silent", "waiting 1", "waiting 1"]);
    assert_eq!(bench.log.lock().closed, 0);
}

#[tokio::test(start_paused = true)]
async fn a_starved_gateway_sees_no_hung_endpoint() {
    let bench = Bench::start([Exchange::page(PAGE_1).after(ms(100)), Exchange::page(PAGE_2).after(ms(300))]);
    sleep(ms(90)).await;
    // Nothing of this process runs for ten seconds; then the answer and the timers are all due.
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(bench.facts_after(ms(100)).await, ["waiting 1"]);
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(bench.facts_after(ms(300)).await, ["waiting 1", "waiting 2"]);
}

#[tokio::test(start_paused = true)]
async fn time_in_which_nothing_could_be_seen_is_no_silence() {
    let bench = Bench::start([Exchange::hung()]);
    sleep(ms(60)).await;
    tokio::time::advance(Duration::from_secs(10)).await;
    // One slice was lost, three are left.
    assert!(bench.facts_after(ms(400)).await.is_empty());
    assert_eq!(bench.facts_after(ms(150)).await, ["silent"]);
}

#[tokio::test(start_paused = true)]
async fn the_size_of_the_cache_is_read_once_a_second_and_after_each_failure() {
    let page = "vllm:num_requests_waiting 1\nvllm:cache_config_info{num_gpu_blocks=\"9\"} 1\n";
    let mut script = vec![Exchange::page(page); 42];
    script.push(Exchange::refused());
    script.extend(vec![Exchange::page(page); 2]);
    let facts = Bench::start(script).facts_after(ms(2700)).await;
    let sized: Vec<_> = (0..facts.len()).filter(|at| facts[*at] == "waiting 1 of 9 blocks").collect();
    assert_eq!(sized, [0, 20, 40, 43], "{facts:?}");
}

#[tokio::test(start_paused = true)]
async fn refused_connections_back_off_and_end_at_once_when_it_answers() {
    let mut script = vec![Exchange::refused(); 8];
    script.push(Exchange::page(PAGE_1));
    script.push(Exchange::page(PAGE_1));
    let bench = Bench::start(script);
    let facts = bench.facts_after(Duration::from_secs(6)).await;
    assert_eq!(facts[..8], ["unreachable"; 8]);
    assert_eq!(facts[8..10], ["waiting 1", "waiting 1"]);
    let gaps = gaps(&bench.log);
    assert!(gaps[..8].is_sorted_by(|a, b| *b > *a || *b >= 900), "{gaps:?}");
    assert!(gaps[7] <= 1100 && gaps[8] <= 56, "{gaps:?}");
    assert_eq!(bench.errors(ScrapeError::Connect), 8);
}

#[tokio::test(start_paused = true)]
async fn a_reset_is_unreachable_but_a_stale_connection_is_only_replaced() {
    let bench = Bench::start([
        Exchange::page(PAGE_1),
        Exchange::broken(SourceError::Stale),
        Exchange::page(PAGE_2),
        Exchange::broken(SourceError::Stale),
        Exchange::broken(SourceError::Reset),
        Exchange::page(PAGE_1),
    ]);
    let facts = bench.facts_after(ms(300)).await;
    assert_eq!(facts, ["waiting 1", "waiting 2", "unreachable", "waiting 1"]);
    assert_eq!(gaps(&bench.log)[1], 0, "the replacement is immediate");
    assert_eq!(bench.errors(ScrapeError::Reset), 1);
}

#[tokio::test(start_paused = true)]
async fn answers_without_a_page_prove_life_and_are_counted_by_reason() {
    let answer = |error| Exchange::broken(SourceError::Answer(error));
    let bench = Bench::start([
        Exchange::status(404, "not found"),
        Exchange::status(500, PAGE_1),
        Exchange::page("<html>\n"),
        Exchange::page("\u{1}\u{2}\u{0}\n"),
        answer(AnswerError::TooLarge),
        answer(AnswerError::Truncated),
        answer(AnswerError::NotHttp),
        Exchange::page(PAGE_1),
    ]);
    let facts = bench.facts_after(Duration::from_secs(5)).await;
    assert_eq!(
        facts,
        ["alive", "alive", "alive", "alive", "alive", "alive", "unreachable", "waiting 1", "silent"]
    );
    assert_eq!(bench.errors(ScrapeError::Status), 2);
    assert_eq!(bench.errors(ScrapeError::Unreadable), 2);
    assert_eq!(bench.errors(ScrapeError::TooLarge), 1);
    assert_eq!(bench.errors(ScrapeError::Truncated), 1);
    assert_eq!(bench.errors(ScrapeError::Protocol), 1);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_without_metrics_is_looked_at_often_enough_to_see_it_hang() {
    let bench = Bench::start(vec![Exchange::status(404, ""); 20]);
    sleep(Duration::from_secs(20)).await;
    let timed = bench.seen.timed();
    assert_eq!(timed[20].1, "silent");
    assert!(timed[20].0 - timed[19].0 <= 950, "{timed:?}");
    assert!(gaps(&bench.log)[10..19].iter().all(|gap| *gap >= 270), "{:?}", gaps(&bench.log));
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_drops_is_alive_and_given_up() {
    let bench = Bench::start([Exchange::drips(1000, ms(100)), Exchange::page(PAGE_1)]);
    let facts = bench.facts_after(ms(2300)).await;
    assert_eq!(facts, ["alive", "waiting 1"]);
    assert_eq!(bench.errors(ScrapeError::Slow), 1);
    assert_eq!(bench.log.lock().closed, 1);
}

#[tokio::test(start_paused = true)]
async fn pauses_between_drops_do_not_add_up_to_silence() {
    let bench = Bench::start([Exchange::drips(1000, ms(400)), Exchange::page(PAGE_1)]);
    assert_eq!(bench.facts_after(ms(2600)).await, ["alive", "waiting 1"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_stops_half_way_is_silent() {
    let bench = Bench::start([Exchange::drips(3, ms(100)), Exchange::page(PAGE_1)]);
    assert_eq!(bench.facts_after(ms(1100)).await, ["silent"]);
    assert_eq!(bench.facts_after(ms(1500)).await[..2], ["silent", "waiting 1"]);
    assert_eq!(bench.errors(ScrapeError::Silent), 1);
}
