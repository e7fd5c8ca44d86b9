use super::*;
use crate::engines::VLLM;
use proptest::prelude::*;

fn read(page: &str) -> EngineState {
    PageReader::new(&VLLM).read(page.as_bytes())
}

fn adapters_of(state: &EngineState) -> (u32, Vec<&str>, Vec<&str>) {
    let adapters = state.adapters.as_ref().unwrap();
    (
        adapters.slots,
        adapters.running.iter().map(|name| &**name).collect(),
        adapters.waiting.iter().map(|name| &**name).collect(),
    )
}

#[test]
fn a_real_idle_page_tells_sizes_and_zeros_and_no_adapters() {
    assert_eq!(
        read(include_str!("../../../tests/fixtures/metrics-idle.txt")),
        EngineState {
            waiting: Some(0),
            running: Some(0),
            kv_usage: Some(0.0),
            block_tokens: Some(32),
            kv_blocks: Some(512),
            adapters: None,
        }
    );
}

#[test]
fn a_real_loaded_page_tells_the_load_and_the_newest_adapters() {
    let state = read(include_str!("../../../tests/fixtures/metrics-loaded.txt"));
    assert_eq!((state.waiting, state.running), (Some(28), Some(4)));
    assert_eq!(state.kv_usage, Some(0.117_416_83));
    assert_eq!((state.block_tokens, state.kv_blocks), (Some(32), Some(512)));
    let both = vec!["math-lora", "sql-lora"];
    assert_eq!(adapters_of(&state), (2, both.clone(), both));
}

#[test]
fn reading_the_load_leaves_out_the_sizes_only() {
    let page = include_bytes!("../../../tests/fixtures/metrics-loaded.txt");
    let reader = PageReader::new(&VLLM);
    let without_sizes = EngineState { block_tokens: None, kv_blocks: None, ..reader.read(page) };
    assert_eq!(reader.read_load(page), without_sizes);
}

#[test]
fn after_the_load_the_newest_adapter_list_is_empty() {
    let state = read(include_str!("../../../tests/fixtures/metrics-after.txt"));
    assert_eq!((state.waiting, state.running, state.kv_usage), (Some(0), Some(0), Some(0.0)));
    assert_eq!(adapters_of(&state), (2, vec![], vec![]));
}

#[test]
fn the_blog_era_name_of_kv_usage_is_read_too() {
    assert_eq!(read("vllm:gpu_cache_usage_perc{model_name=\"m\"} 0.25\n").kv_usage, Some(0.25));
}

#[test]
fn the_newer_name_of_kv_usage_wins_in_either_order() {
    let old = "vllm:gpu_cache_usage_perc 0.9\n";
    let new = "vllm:kv_cache_usage_perc 0.25\n";
    assert_eq!(read(&format!("{old}{new}")).kv_usage, Some(0.25));
    assert_eq!(read(&format!("{new}{old}")).kv_usage, Some(0.25));
}

#[test]
fn ranks_add_their_requests_and_blocks_and_average_their_cache() {
    let state = read(
        "vllm:num_requests_waiting{engine=\"0\"} 3.0\n\
         vllm:num_requests_waiting{engine=\"1\"} 4.0\n\
         vllm:num_requests_running{engine=\"0\"} 1.0\n\
         vllm:num_requests_running{engine=\"1\"} 2.0\n\
         vllm:kv_cache_usage_perc{engine=\"0\"} 0.5\n\
         vllm:kv_cache_usage_perc{engine=\"1\"} 1.0\n\
         vllm:cache_config_info{block_size=\"16\",engine=\"0\",num_gpu_blocks=\"100\"} 1.0\n\
         vllm:cache_config_info{block_size=\"16\",engine=\"1\",num_gpu_blocks=\"100\"} 1.0\n",
    );
    assert_eq!(
        state,
        EngineState {
            waiting: Some(7),
            running: Some(3),
            kv_usage: Some(0.75),
            block_tokens: Some(16),
            kv_blocks: Some(200),
            adapters: None,
        }
    );
}

#[test]
fn numbers_that_make_no_sense_are_left_out_or_brought_into_range() {
    let state = read(
        "vllm:num_requests_waiting NaN\n\
         vllm:num_requests_running -3\n\
         vllm:kv_cache_usage_perc 1.5\n\
         vllm:cache_config_info{block_size=\"0\",num_gpu_blocks=\"None\"} 1.0\n",
    );
    assert_eq!(state, EngineState { running: Some(0), kv_usage: Some(1.0), ..EngineState::default() });
    assert_eq!(read("vllm:num_requests_waiting +Inf\n").waiting, Some(u32::MAX));
}

#[test]
fn a_page_of_something_else_gives_the_empty_state() {
    for page in ["", "<html>\n</html>\n", "up 1\n", "\u{0}\u{1}\u{2}\n", "vllm:num_requests_waiting\n"] {
        assert_eq!(read(page), EngineState::default(), "{page:?}");
    }
}

proptest! {
    #[test]
    fn no_page_panics_and_usage_stays_in_range(
        lines in prop::collection::vec(
            "(vllm:(num_requests_waiting|kv_cache_usage_perc|cache_config_info|lora_requests_info))?\
             (\\{[a-z_=\",{}]{0,40}\\})? ?[-+0-9.eNaInf]{0,12}",
            0..20,
        ),
    ) {
        let state = read(&(lines.join("\n") + "\n"));
        prop_assert!(state.kv_usage.is_none_or(|usage| (0.0..=1.0).contains(&usage)));
    }
}
