// SPDX-License-Identifier: AGPL-3.0-or-later
//! What the fuzz targets share: large buffers from short inputs, floats compared as bits, damage.

pub mod checkpoint;
pub mod json;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bho_engine::decoder::{KvKind, Scorer};
use bho_engine::{CancelToken, Compute};
use bho_kernels::available;
use bho_models::decoder::load_decoder;
use bho_models::{DecoderTokenizer, EncodeOptions, ModelSource, load_encoder};
use libfuzzer_sys::arbitrary::{self, Arbitrary, Unstructured};

/// Says what a run is about to check.
pub fn print_backends() {
    let names: Vec<_> = available().iter().map(|k| k.name()).collect();
    eprintln!("backends: {}", names.join(", "));
}

/// Bytes of any number from an input of few, so that the fuzzer spends its bytes on shapes.
#[derive(Debug, Arbitrary)]
pub enum Fill {
    /// The same bytes over and over; one byte gives the worst cases.
    Repeat(Vec<u8>),
    /// A generator's, from this seed.
    Random(u64),
}

impl Fill {
    pub fn bytes(&self, n: usize) -> Vec<u8> {
        match self {
            Self::Repeat(pattern) if pattern.is_empty() => vec![0; n],
            Self::Repeat(pattern) => pattern.iter().copied().cycle().take(n).collect(),
            Self::Random(seed) => {
                let mut state = *seed;
                (0..n).map(|_| splitmix(&mut state) as u8).collect()
            }
        }
    }

    /// Weights of {-1, 0, +1}.
    pub fn trits(&self, n: usize) -> Vec<i8> {
        self.bytes(n).into_iter().map(|b| (b % 3) as i8 - 1).collect()
    }

    pub fn int8(&self, n: usize) -> Vec<i8> {
        self.bytes(n).into_iter().map(|b| b as i8).collect()
    }
}

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Floats of any number from an input of few.
#[derive(Debug, Arbitrary)]
pub enum Floats {
    /// Any bits at all.
    Bits(Fill),
    /// Values that trip careless code.
    Extremes(Fill),
    /// Evenly spread between ± this.
    Within(f32, u64),
}

const EXTREMES: [f32; 16] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    f32::MIN_POSITIVE,
    -1e-45,
    1e-20,
    87.9,
    88.1,
    -87.1,
    -103.0,
    f32::MAX,
    f32::MIN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
];

impl Floats {
    pub fn take(&self, n: usize) -> Vec<f32> {
        match self {
            Self::Bits(fill) => {
                fill.bytes(4 * n).as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
            }
            Self::Extremes(fill) => {
                fill.bytes(n).into_iter().map(|b| EXTREMES[usize::from(b % 16)]).collect()
            }
            Self::Within(scale, seed) => {
                let mut state = *seed;
                let mut next = || (splitmix(&mut state) >> 40) as f32 / (1 << 23) as f32 - 1.0;
                (0..n).map(|_| next() * scale).collect()
            }
        }
    }
}

/// Bits, with one pattern for all NaNs: which one comes out is not promised.
pub fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|v| if v.is_nan() { f32::NAN.to_bits() } else { v.to_bits() }).collect()
}

/// A dimension or a length: mostly small, sometimes what a hostile caller or file would say.
#[derive(Debug, Clone, Copy)]
pub struct Hostile(pub usize);

impl<'a> Arbitrary<'a> for Hostile {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let any = usize::arbitrary(u)?;
        Ok(Self(match u.int_in_range(0..=3)? {
            0 => any,
            1 => usize::MAX >> (any % 64),
            _ => any % 80,
        }))
    }
}

/// Overwrites bytes, wherever they are.
pub fn patch(bytes: &mut [u8], patches: &[(u16, u8)]) {
    for (at, byte) in patches {
        if !bytes.is_empty() {
            let at = usize::from(*at) % bytes.len();
            bytes[at] = *byte;
        }
    }
}

/// Lets panics in other crates pass, which the tokenizers catch: `tokenizers` is not written for hostile files.
/// A panic in this project's own code still ends the run.
pub fn pardon_other_crates() {
    let abort = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.location().is_some_and(|at| at.file().contains("/registry/src/")) {
            abort(panic);
        }
    }));
}

/// Whatever the file was, a tokenizer that was built takes any text, keeps to its ids, and finds no special
/// token in guarded text.
pub fn try_tokenizer(tokenizer: &DecoderTokenizer, text: &str) {
    let guarded = tokenizer.guard(text);
    for &id in tokenizer.special() {
        let name = String::from_utf8_lossy(tokenizer.token_bytes(id));
        assert!(name.is_empty() || !guarded.contains(&*name), "{name:?} in {guarded:?}");
    }
    for (text, options) in [(text, EncodeOptions::TEXT), (&guarded, EncodeOptions::CHAT)] {
        if let Ok(ids) = tokenizer.encode(text, options) {
            assert!(ids.iter().all(|&id| (id as usize) < tokenizer.ids()));
            let longest = ids.iter().map(|&id| tokenizer.token_bytes(id).len()).sum::<usize>();
            assert!(tokenizer.decode(&ids).len() <= longest);
        }
    }
}

/// A folder of this process, in the one for temporary files, which `.ci/fuzz` removes.
pub fn scratch() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("bho-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Loads a model and runs what it is for: the numbers are finite, or there is an error. A decoder that does
/// not load where it `must` is a failure.
pub fn try_model(path: &Path, must: bool) {
    let compute = Compute::new(1).unwrap();
    let cancel = CancelToken::new();
    match load_decoder(path) {
        Ok(loaded) => {
            if let Ok(mut scorer) = Scorer::new(&loaded.model, &compute, KvKind::F16, 16)
                && let Ok(scores) = scorer.score(&[1, 2, 0, 1], 1, &cancel)
            {
                assert!(scores.len() == 3 && scores.iter().all(|score| score.is_finite()));
            }
        }
        Err(error) => assert!(!must, "converted, but {error}"),
    }
    if let Ok(encoder) = load_encoder(&ModelSource::file(path), &compute) {
        if let Ok(embeddings) = encoder.embed(&["ab aé", ""], &cancel) {
            let numbers = embeddings.iter().flat_map(|embedding| &embedding.vector);
            assert!(numbers.copied().all(f32::is_finite));
        }
        let _ = encoder.classify(&[("ab", Some("a"))], &cancel);
        let _ = encoder.tag(&["a b"], &cancel);
    }
}

/// With `BHO_FUZZ_STATS` set, counts how many inputs come past a check: none or all would mean that what lies
/// behind it, or in it, is not tried.
pub fn tally(check: &'static str, passed: bool) {
    static COUNTS: Mutex<BTreeMap<&str, [u64; 2]>> = Mutex::new(BTreeMap::new());
    if std::env::var_os("BHO_FUZZ_STATS").is_some() {
        let mut counts = COUNTS.lock().unwrap();
        let [all, past] = counts.entry(check).or_default();
        *all += 1;
        *past += u64::from(passed);
        if all.is_power_of_two() {
            eprintln!("{check}: {past} of {all}");
        }
    }
}
