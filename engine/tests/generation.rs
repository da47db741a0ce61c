// SPDX-License-Identifier: AGPL-3.0-or-later
//! The generator: what a request gets, alone and beside others.

mod common;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bho_engine::decoder::{DecoderModel, KvKind, PAGE};
use bho_engine::generation::{
    Finish, Generated, Generator, GeneratorOptions, GeneratorStats, Piece, Request, Vocabulary,
};
use bho_engine::sampling::{Constraint, SamplingError, SamplingParams, TokenMask};
use bho_engine::{CancelToken, Compute, EngineError};
use common::{Format, VOCAB, model, tokens};

/// Tokens are two letters each.
struct Letters(Vec<[u8; 2]>);

impl Vocabulary for Letters {
    fn bytes(&self, token: u32) -> &[u8] {
        &self.0[token as usize]
    }
}

fn letters() -> Letters {
    let letter = |i: usize| b'a' + (i % 26) as u8;
    Letters((0..VOCAB).map(|i| [letter(i / 26), letter(i)]).collect())
}

fn small() -> Arc<DecoderModel> {
    Arc::new(model(Format::Ternary, (5, 1, 24)))
}

fn generator(pages: usize, threads: usize) -> Generator {
    let model = small();
    let mut options = GeneratorOptions::new(&model, 512);
    options.kv_bytes = pages * model.kv_shape(KvKind::F16).page_bytes();
    options.chunk = 40;
    let compute = Compute::new(threads).unwrap();
    Generator::new(model, Arc::new(letters()), compute, options).unwrap()
}

fn request(prompt: Vec<u32>, max_tokens: usize, seed: u64) -> Request {
    Request {
        prompt,
        max_tokens,
        sampling: SamplingParams { temperature: 1.0, seed, ..SamplingParams::neutral() },
        constraint: None,
        stop_tokens: Vec::new(),
        stop: Vec::new(),
    }
}

fn run(generator: &Generator, request: Request) -> Generated {
    generator.generate(request, &CancelToken::new(), &mut |_| {}).unwrap()
}

/// The parts that are not timings.
fn told(generated: &Generated) -> (Vec<u32>, String, Finish) {
    (generated.tokens.clone(), generated.text.clone(), generated.finish)
}

#[test]
fn a_request_gets_the_same_beside_others_and_on_any_number_of_threads() {
    let requests =
        || (0..6u64).map(|i| request(tokens(3 + 31 * i as usize, i), 20 + i as usize, i));
    let alone = generator(100, 1);
    let expected: Vec<_> = requests().map(|request| told(&run(&alone, request))).collect();
    assert!(
        expected
            .iter()
            .all(|(tokens, _, finish)| { tokens.len() >= 20 && *finish == Finish::Length })
    );
    // Room for all, and room for hardly one and a half: some are put back and read again.
    for pages in [100, 9] {
        let generator = generator(pages, 2);
        let found: Vec<_> = std::thread::scope(|scope| {
            let handles: Vec<_> =
                requests().map(|request| scope.spawn(|| told(&run(&generator, request)))).collect();
            handles.into_iter().map(|handle| handle.join().unwrap()).collect()
        });
        assert_eq!(found, expected, "{pages} pages");
    }
}

#[test]
fn pieces_add_up_to_the_text() {
    let generator = generator(20, 1);
    let mut pieces = Vec::new();
    let generated = generator
        .generate(request(tokens(5, 1), 12, 3), &CancelToken::new(), &mut |piece: &Piece| {
            pieces.push(piece.clone());
        })
        .unwrap();
    let text: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
    assert_eq!((text.len(), &text), (24, &generated.text));
    assert_eq!(pieces.iter().map(|piece| piece.token).collect::<Vec<_>>(), generated.tokens);
    assert!((generated.prompt_tokens, generated.cached_tokens) == (5, 0));
    assert!(generated.first_token.as_nanos() > 0 && generated.decoding.as_nanos() > 0);
}

#[test]
fn texts_end_where_they_should() {
    let generator = generator(20, 1);
    let free = run(&generator, request(tokens(4, 2), 10, 5));
    let with = |change: &dyn Fn(&mut Request)| {
        let mut request = request(tokens(4, 2), 10, 5);
        change(&mut request);
        run(&generator, request)
    };
    let stopped = with(&|r| r.stop_tokens = vec![free.tokens[6]]);
    let first = free.tokens.iter().position(|t| *t == free.tokens[6]).unwrap();
    assert_eq!(stopped.finish, Finish::StopToken(free.tokens[6]));
    assert_eq!((&stopped.tokens[..], stopped.text.len()), (&free.tokens[..first], 2 * first));
    // A text that spans two tokens.
    let stop = &free.text[5..7];
    let stopped = with(&|r| r.stop = vec!["?".into(), stop.into()]);
    assert_eq!(stopped.finish, Finish::StopText(1));
    assert_eq!(stopped.text, free.text[..free.text.find(stop).unwrap()]);
    let nothing = with(&|r| r.max_tokens = 0);
    assert_eq!((nothing.finish, &nothing.text[..], nothing.tokens.len()), (Finish::Length, "", 0));
    assert_eq!((free.finish.name(), stopped.finish.name()), ("length", "stop"));
}

#[test]
fn a_beginning_that_was_read_before_is_not_read_again() {
    let generator = generator(40, 1);
    let prompt = tokens(4 * PAGE + 9, 3);
    assert_eq!(run(&generator, request(prompt.clone(), 3, 1)).cached_tokens, 0);
    let again = run(&generator, request(prompt.clone(), 3, 1));
    // All but the last token, whose logits are not cached.
    assert_eq!(again.cached_tokens, 4 * PAGE + 8);
    // Two at once that begin as nothing before: the second waits for the first to be read.
    let fresh = tokens(5 * PAGE, 4);
    let cached: Vec<_> = std::thread::scope(|scope| {
        let one = |last: u32| {
            let prompt = [&fresh[..], &[last]].concat();
            run(&generator, request(prompt, 2, 1)).cached_tokens
        };
        let handles = [scope.spawn(move || one(1)), scope.spawn(move || one(2))];
        handles.map(|handle| handle.join().unwrap()).into()
    });
    assert_eq!(cached.iter().sum::<usize>(), 5 * PAGE, "{cached:?}");
}

/// Holds the generator's thread until it is told to go on, so that requests queue up.
struct Gate(Receiver<()>);

impl Constraint for Gate {
    fn allowed(&mut self, mask: &mut TokenMask) -> Result<(), SamplingError> {
        self.0.recv().unwrap();
        mask.allow(0);
        Ok(())
    }

    fn accept(&mut self, _: u32) -> Result<(), SamplingError> {
        Ok(())
    }

    fn is_complete(&mut self) -> bool {
        true
    }
}

#[test]
fn two_requests_share_passes_and_a_beginning_is_read_once() {
    const SHARED: usize = 400;
    const WRITTEN: usize = 60;
    let generator = generator(40, 2);
    let (open, gate) = channel();
    let shared = tokens(SHARED, 8);
    let one = |last: u32| {
        let prompt = [&shared[..], &[last, 1, 2]].concat();
        run(&generator, request(prompt, WRITTEN, 1))
    };
    let found: Vec<_> = std::thread::scope(|scope| {
        let mut first = request(vec![5], 1, 1);
        first.constraint = Some(Box::new(Gate(gate)));
        let first = scope.spawn(|| run(&generator, first));
        let handles = [scope.spawn(move || one(1)), scope.spawn(move || one(2))];
        std::thread::sleep(Duration::from_millis(300));
        open.send(()).unwrap();
        first.join().unwrap();
        handles.map(|handle| handle.join().unwrap()).into()
    });
    assert!(found.iter().all(|generated| generated.tokens.len() == WRITTEN));
    let GeneratorStats { passes, tokens, cached_tokens } = generator.stats();
    // Whole pages of it are shared; the second text reads the rest of the last one again.
    let whole = SHARED / PAGE * PAGE;
    assert_eq!(cached_tokens, whole as u64);
    let prompts = 1 + 2 * (SHARED + 3) - whole;
    assert_eq!(tokens, (prompts + 2 * (WRITTEN - 1)) as u64);
    // One for the gate, unless it shares its pass with the first chunk; chunks of 40 for the first
    // prompt, which give its first token; then one pass a token, not two. The second text is one
    // token behind, and the texts may come a few passes apart.
    let least = (SHARED + 3).div_ceil(40) + (WRITTEN - 1) + 1;
    assert!((least..least + 6).contains(&(passes as usize)), "{passes} for {least}");
}

#[test]
fn a_turn_reads_only_what_is_new() {
    let generator = generator(40, 1);
    let mut prompt = tokens(45, 6);
    let mut before = 0;
    for turn in 0..5 {
        let generated = run(&generator, request(prompt.clone(), 13 + turn, 1));
        assert_eq!(generated.cached_tokens, before, "turn {turn}");
        // The last token written has not been read.
        before = prompt.len() + generated.tokens.len() - 1;
        prompt.extend(generated.tokens);
        prompt.extend(tokens(5, turn as u64));
        let read = generator.stats().tokens;
        assert_eq!(read, before as u64, "turn {turn}: each token once");
    }
}

#[test]
fn a_full_cache_or_context_ends_a_text() {
    let generator = generator(3, 1);
    assert_eq!(generator.context(), 3 * PAGE);
    let full = run(&generator, request(tokens(10, 1), 1000, 1));
    assert_eq!(full.finish, Finish::Context);
    assert_eq!(full.tokens.len(), 3 * PAGE - 10);
}

#[test]
fn a_caller_that_has_enough_keeps_what_is_written() {
    let generator = generator(20, 2);
    let cancel = CancelToken::new();
    let mut seen = 0;
    let generated = generator
        .generate(request(tokens(10, 1), 400, 1), &cancel, &mut |_| {
            seen += 1;
            if seen == 5 {
                cancel.cancel();
            }
        })
        .unwrap();
    assert_eq!(generated.finish, Finish::Cancelled);
    assert!(generated.tokens.len() >= 5 && generated.tokens.len() < 400);
    assert_eq!(generated.text.len(), 2 * generated.tokens.len());
    // The others go on.
    assert_eq!(run(&generator, request(tokens(10, 1), 5, 1)).tokens, generated.tokens[..5]);
}

#[test]
fn what_cannot_be_served_is_refused_with_the_reason() {
    let generator = generator(3, 1);
    let refused = |request: Request| {
        let cancel = CancelToken::new();
        generator.generate(request, &cancel, &mut |_| {}).unwrap_err().to_string()
    };
    assert!(refused(request(Vec::new(), 1, 1)).contains("no tokens"));
    let long = refused(request(tokens(3 * PAGE, 1), 1, 1));
    assert!(long.contains("96 tokens; 95 fit the context of 96"), "{long}");
    assert!(refused(request(vec![1, 77], 1, 1)).contains("token 77; ids are 0..=76"));
    let mut wrong = request(tokens(3, 1), 1, 1);
    (wrong.sampling.temperature, wrong.sampling.top_p) = (-1.0, 7.0);
    let wrong = refused(wrong);
    assert!(wrong.contains("temperature") && wrong.contains("top_p"), "{wrong}");
    // A prompt that fills the context is read when nothing is to be written.
    assert_eq!(run(&generator, request(tokens(3 * PAGE, 1), 0, 1)).finish, Finish::Length);
    let model = small();
    let none = GeneratorOptions { kv_bytes: 1, ..GeneratorOptions::new(&model, 64) };
    let compute = Compute::new(1).unwrap();
    let refused = Generator::new(model, Arc::new(letters()), compute, none).err().unwrap();
    assert!(matches!(refused, EngineError::Input(_)), "{refused}");
}
