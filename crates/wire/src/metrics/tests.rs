use super::*;

const IDLE: &[u8] = include_bytes!("../../tests/fixtures/metrics-idle.txt");
const LOADED: &[u8] = include_bytes!("../../tests/fixtures/metrics-loaded.txt");
const AFTER: &[u8] = include_bytes!("../../tests/fixtures/metrics-after.txt");

fn vllm() -> Wanted {
    Wanted::new([
        ("vllm:num_requests_waiting", 0),
        ("vllm:num_requests_running", 1),
        ("vllm:kv_cache_usage_perc", 2),
        ("vllm:gpu_cache_usage_perc", 2),
        ("vllm:cache_config_info", 3),
        ("vllm:lora_requests_info", 4),
    ])
}

fn samples<'p>(page: &'p [u8], wanted: &Wanted) -> (Vec<Sample<'p>>, Scanned) {
    let mut samples = Vec::new();
    let scanned = scan(page, wanted, |sample| samples.push(sample));
    (samples, scanned)
}

/// The one sample of `slot`, as value.
fn value(samples: &[Sample<'_>], slot: usize) -> f64 {
    let mut of_slot = samples.iter().filter(|sample| sample.slot == slot);
    let value = of_slot.next().unwrap().value;
    assert!(of_slot.next().is_none());
    value
}

#[test]
fn reads_real_pages() {
    let (found, scanned) = samples(LOADED, &vllm());
    assert_eq!((scanned.bad_lines, scanned.cut), (0, false));
    assert_eq!(scanned.samples, found.len());
    assert_eq!((value(&found, 0), value(&found, 1)), (28.0, 4.0));
    assert_eq!(value(&found, 2), 0.11741682974559686);
    let config = found.iter().find(|sample| sample.slot == 3).unwrap();
    assert_eq!(config.labels.get("block_size").as_deref(), Some("32"));
    assert_eq!(config.labels.get("num_gpu_blocks").as_deref(), Some("512"));
    assert_eq!(config.labels.get("size"), None);

    let (found, _) = samples(IDLE, &vllm());
    assert_eq!(found.iter().filter(|sample| sample.slot == 4).count(), 0);
    assert_eq!((value(&found, 0), value(&found, 1), value(&found, 2)), (0.0, 0.0, 0.0));
}

#[test]
fn gives_every_series_of_a_family() {
    let (found, _) = samples(AFTER, &vllm());
    let adapters: Vec<_> = found.iter().filter(|sample| sample.slot == 4).collect();
    assert_eq!(adapters.len(), 7);
    let newest = adapters.iter().max_by(|a, b| a.value.total_cmp(&b.value)).unwrap();
    assert_eq!(newest.labels.get("running_lora_adapters").as_deref(), Some(""));
    assert_eq!(newest.labels.get("max_lora").as_deref(), Some("2"));
    assert_eq!(adapters[3].labels.get("running_lora_adapters").as_deref(), Some("math-lora,sql-lora"));
}

#[test]
fn reads_every_form_of_a_line() {
    let wanted = Wanted::new([("m", 0)]);
    for (line, value) in [
        ("m 1", 1.0),
        ("m{} 1", 1.0),
        ("m{ } 1", 1.0),
        ("m {a=\"b\"} 1", 1.0),
        (" \tm\t1.5e3 ", 1500.0),
        ("m 1\r", 1.0),
        ("m{a=\"b\",c=\"d\",} 1", 1.0),
        ("m{ a = \"b\" , c=\"d\" } 1", 1.0),
        ("m{a=\"}\\\"{ ,\"} -2", -2.0),
        ("m +Inf", f64::INFINITY),
        ("m -Inf", f64::NEG_INFINITY),
        ("m 1 1395066363000", 1.0),
        ("m 1 1.5 # {trace=\"x\"} 2", 1.0),
        ("m 1 # {trace=\"x\"} 2", 1.0),
    ] {
        let page = format!("# TYPE m gauge\n{line}\n# EOF\n");
        let (found, scanned) = samples(page.as_bytes(), &wanted);
        assert_eq!((found.len(), scanned.bad_lines), (1, 0), "{line}");
        assert_eq!(found[0].value, value, "{line}");
    }
    let (found, _) = samples(b"m NaN\n", &wanted);
    assert!(found[0].value.is_nan());
}

#[test]
fn broken_lines_are_counted_and_passed_over() {
    let wanted = Wanted::new([("m", 0)]);
    for line in [
        "m",
        "m ",
        "m x",
        "m{ 1",
        "m{a} 1",
        "m{a=b} 1",
        "m{a=\"b} 1",
        "m{a=\"b\\",
        "m{a=\"b\"c=\"d\"} 1",
        "m{=\"b\"} 1",
        "m{a b=\"c\"} 1",
        "m 1 x",
        "m 1 2 3",
        "5 1",
        "\u{1}\u{2}",
        "<html>",
    ] {
        let page = format!("{line}\nm 7\n");
        let (found, scanned) = samples(page.as_bytes(), &wanted);
        let bad = usize::from(line != "m");
        assert_eq!((found.len(), scanned.bad_lines), (1, bad), "{line}");
        assert_eq!(found[0].value, 7.0, "{line}");
    }
}

#[test]
fn a_name_is_matched_whole() {
    let wanted = Wanted::new([("a:b", 0), ("a:bc", 1)]);
    let (found, scanned) =
        samples(b"a:b_total 1\na:bcd 2\nxa:b 3\na:bc 4\na:b 5\nA:b 6\na 7\na: 8\n", &wanted);
    assert_eq!(
        found.iter().map(|sample| (sample.slot, sample.value)).collect::<Vec<_>>(),
        [(1, 4.0), (0, 5.0)]
    );
    assert_eq!(scanned.bad_lines, 0);
}

#[test]
fn nothing_wanted_finds_nothing() {
    let (found, scanned) = samples(LOADED, &Wanted::new([]));
    assert_eq!((found.len(), scanned.bad_lines), (0, 0));
}

#[test]
fn a_cut_line_is_left_out() {
    let (found, scanned) = samples(b"m 42\nm 4", &Wanted::new([("m", 0)]));
    assert_eq!((found.len(), scanned), (1, Scanned { samples: 1, bad_lines: 0, cut: true }));
    for page in [&b""[..], b"m 42\n", b"m 42\n# EOF"] {
        assert!(!samples(page, &Wanted::new([("m", 0)])).1.cut);
    }
}

#[test]
fn every_cut_of_a_real_page_gives_a_prefix_of_its_samples() {
    let wanted = vllm();
    let (whole, _) = samples(LOADED, &wanted);
    for end in (0..LOADED.len()).step_by(37) {
        let (found, scanned) = samples(&LOADED[..end], &wanted);
        assert!(whole.starts_with(&found), "{end}");
        assert_eq!(scanned.bad_lines, 0, "{end}");
    }
}

#[test]
fn label_values_are_unescaped() {
    let page = b"m{path=\"C:\\\\DIR\\\"\\n\",e=\"\xc3\xa9\",bad=\"\xff\"} 1\n";
    let (found, _) = samples(page, &Wanted::new([("m", 0)]));
    let labels = found[0].labels;
    assert_eq!(labels.get("path").as_deref(), Some("C:\\DIR\"\n"));
    assert_eq!(labels.get("e").as_deref(), Some("\u{e9}"));
    assert_eq!(labels.get("bad"), None);
}
