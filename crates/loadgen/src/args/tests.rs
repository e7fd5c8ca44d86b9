use super::*;
use clap::Parser;

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    bench: BenchArgs,
}

fn plan(arguments: &str) -> Result<Plan, String> {
    let words = std::iter::once("bench").chain(arguments.split_whitespace());
    let cli = Cli::try_parse_from(words).map_err(|error| error.to_string())?;
    cli.bench.into_plan().map_err(|error| error.to_string())
}

fn open_stages(arguments: &str) -> Vec<OpenStage> {
    match plan(arguments).unwrap().load {
        Load::Open { stages, .. } => stages,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_given_is_sharegpt_at_ten_a_second() {
    let plan = plan("").unwrap();
    assert!(plan.stream && plan.ignore_eos && plan.models.is_empty());
    assert_eq!(plan.targets[0].authority, "127.0.0.1:8080");
    assert_eq!(open_stages(""), [OpenStage { rate: 10.0, requests: 200, span: Duration::from_secs(20) }]);
}

#[test]
fn requests_and_duration_bound_a_row() {
    let of = |arguments| {
        let stage = open_stages(arguments)[0];
        (stage.requests, stage.span)
    };
    assert_eq!(of("--rate 50 --duration 10s"), (500, Duration::from_secs(10)));
    assert_eq!(of("--rate 50 --requests 100"), (100, Duration::from_secs(2)));
    assert_eq!(of("--rate 50 --requests 100 --duration 10s"), (100, Duration::from_secs(2)));
    assert_eq!(of("--rate 50 --requests 1000 --duration 10s"), (500, Duration::from_secs(10)));
    assert_eq!(open_stages("--rate 1,2.5,4").iter().map(|s| s.rate).collect::<Vec<_>>(), [1.0, 2.5, 4.0]);
}

#[test]
fn lpg_is_not_streamed_and_may_end_early() {
    let plan = plan("--lpg --rate 200").unwrap();
    assert!(!plan.stream && !plan.ignore_eos);
    assert_eq!(plan.extra_body, r#""temperature":1.0"#);
    let Load::Lpg(lpg) = plan.load else { panic!("not lpg") };
    assert_eq!(lpg.send_cost, Duration::from_micros(810));
}

#[test]
fn wrong_arguments_are_named() {
    for (arguments, named) in [
        ("--url https://a", "--url"),
        ("--model a=0", "--model"),
        ("--rate 0", "--rate"),
        ("--rate 1e9", "--rate"),
        ("--concurrency 0", "--concurrency"),
        ("--arrivals gamma", "--arrivals"),
        ("--duration 5d", "--duration"),
        ("--duration 0s", "--duration"),
        ("--duration 5s --warmup 5s", "--warmup"),
        ("--input-tokens x", "--input-tokens"),
        ("--output-tokens 0", "--output-tokens"),
        ("--prefix-groups 0", "--prefix-groups"),
        ("--sessions 5 --turns 0", "--turns"),
        ("--sessions 5 --think gamma:2", "--think"),
        ("--sessions 5 --session-header é", "--session-header"),
        ("--header novalue", "--header"),
        ("--extra-body [1]", "--extra-body"),
        ("--prompts /no/such/file", "--prompts"),
        ("--timeout 0", "--timeout"),
        ("--in-flight-max 0", "--in-flight-max"),
        ("--rate 5 --concurrency 5", "--rate"),
        ("--sessions 5 --requests 5", "--sessions"),
        ("--sessions 5 --input-tokens 5", "--input-tokens"),
        ("--lpg --sessions 5", "--sessions"),
    ] {
        let error = plan(arguments).unwrap_err();
        assert!(error.contains(named), "{arguments}: {error}");
    }
}

#[test]
fn header_values_are_not_echoed() {
    let plan = plan("--header authorization:secret").unwrap();
    let echo = serde_json::to_string(&plan).unwrap();
    assert!(echo.contains("authorization") && !echo.contains("secret"));
}
