use super::*;
use crate::step::StepShape;

/// The last column of the published table: one prefill step of 8192 tokens, in ms, without LM head and host.
const PREFILL_8192_MS: [(&str, f64); 25] = [
    ("llama-2-7b@a100", 564.0),
    ("llama-2-7b@h100", 193.0),
    ("llama-2-7b@h200", 188.0),
    ("llama-2-7b@b200", 100.0),
    ("llama-2-7b@l40s", 649.0),
    ("llama-3.1-8b@a100", 575.0),
    ("llama-3.1-8b@h100", 196.0),
    ("llama-3.1-8b@h200", 195.0),
    ("llama-3.1-8b@b200", 100.0),
    ("llama-3.1-8b@l40s", 673.0),
    ("qwen3-8b@h100", 201.0),
    ("qwen3-32b@h200", 830.0),
    ("qwen3-32b@b200", 410.0),
    ("qwen3-32b@a100-tp2", 1355.0),
    ("qwen3-32b@h100-tp2", 514.0),
    ("qwen3-32b@h200-tp2", 505.0),
    ("llama-3.1-70b@a100-tp4", 1600.0),
    ("llama-3.1-70b@h100-tp4", 642.0),
    ("llama-3.1-70b@h200-tp4", 632.0),
    ("llama-3.1-70b@a100-tp8", 1101.0),
    ("llama-3.1-70b@h100-tp8", 436.0),
    ("llama-3.1-70b@h200-tp2", 1015.0),
    ("llama-3.1-70b@b200-tp2", 503.0),
    ("llama-3.1-70b-fp8@h100-tp2", 764.0),
    ("llama-3.1-70b-fp8@h200", 1020.0),
];

#[test]
fn every_fitted_row_reproduces_its_8192_token_prefill() {
    let fitted = Preset::all().iter().filter(|p| p.source == Source::Fitted).count();
    assert_eq!(fitted, PREFILL_8192_MS.len());
    for (name, expected_ms) in PREFILL_8192_MS {
        let law = Preset::by_name(name).expect(name).step;
        let shape = StepShape { tokens: 8192, prefill_pairs: 8192.0 * 4096.0, ..StepShape::default() };
        let got_ms = law.step(&shape).as_secs_f64() * 1e3 - law.lm_head_ms - law.host_ms;
        let off = got_ms / expected_ms - 1.0;
        assert!(
            off.abs() < 0.01,
            "{name}: {got_ms:.1} ms, published {expected_ms} ms, {:.1} % off",
            off * 100.0
        );
    }
}

#[test]
fn a_lone_sequence_of_8b_on_h100_decodes_in_about_8_ms() {
    let law = Preset::by_name("llama-3.1-8b@h100").expect("known").step;
    let step = law.step(&StepShape { tokens: 1, decodes: 1, context_tokens: 500, prefill_pairs: 0.0 });
    assert!((7.8..8.3).contains(&(step.as_secs_f64() * 1e3)), "{step:?}");
}

#[test]
fn a_chunk_deep_in_its_context_costs_more_than_the_first() {
    let law = Preset::by_name("llama-3.1-8b@h100").expect("known").step;
    let chunk = |k: f64| {
        law.step(&StepShape { tokens: 512, prefill_pairs: 512.0 * (k + 256.0), ..StepShape::default() })
    };
    assert!(chunk(8192.0) > chunk(0.0));
}

#[test]
fn names_are_unique_and_made_of_model_and_accelerator() {
    for (i, preset) in Preset::all().iter().enumerate() {
        assert_eq!(preset.name, format!("{}@{}", preset.model, preset.accelerator));
        assert!(Preset::all()[..i].iter().all(|p| p.name != preset.name), "{} twice", preset.name);
        assert!(preset.max_num_seqs <= preset.max_batched_tokens, "{}", preset.name);
    }
    assert!(Preset::by_name("Llama-3.1-8B@H100").is_some());
    assert!(Preset::by_name("llama-3.1-8b").is_none());
}

#[test]
fn a_mistyped_name_gets_the_nearest_one() {
    assert_eq!(Preset::nearest("llama-3.1-8b@h10"), "llama-3.1-8b@h100");
    assert_eq!(Preset::nearest("QWEN3-32@h100-tp2"), "qwen3-32b@h100-tp2");
    assert_eq!(Preset::nearest("llama3-8b@mi300"), "llama-3.1-8b@mi300x");
    assert!(!Preset::nearest(&"x".repeat(10_000)).is_empty());
}

#[test]
fn roofline_devices_agree_with_the_fitted_8b_rows() {
    for device in Device::all() {
        if let Some(preset) = Preset::by_name(&format!("llama-3.1-8b@{}", device.name)) {
            assert!((device.weights_8b_ms / preset.step.weights_ms - 1.0).abs() < 0.02, "{}", device.name);
            assert!(
                (device.gemm_8b_us / preset.step.gemm_us_per_token - 1.0).abs() < 0.02,
                "{}",
                device.name
            );
            // weights of 16 GB at 75 to 80 % of the bandwidth, with a margin for the rounding of the table
            let efficiency = 16.06 / device.bandwidth_tb_s / device.weights_8b_ms;
            assert!((0.66..0.86).contains(&efficiency), "{}: {efficiency}", device.name);
        }
    }
}
