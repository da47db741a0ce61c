// SPDX-License-Identifier: AGPL-3.0-or-later
//! The phrase rules and how they are read.
//!
//! A pattern is a row of steps. A step is a word, a class of the lexicon in angle brackets, or several of these joined
//! by `|`; `..3` before a step lets up to three other words stand between it and the step before, within a sentence;
//! `~3` does so across sentences too.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::Family::{
    EncodedRequest, InstructionOverride, Machine, Persona, PromptExtraction, SafetyBypass,
    SpecialMode,
};
use super::lexicon::CLASSES;
use super::matcher::{RareSet, Vocabulary, WordSet};
use super::{Family, markers};
use crate::normalise::commonness;

/// Family, weight, pattern. Weights are set so that one rule of 0.6 or more blocks by itself under the default policy,
/// and two or three weaker ones do together.
#[rustfmt::skip]
const RULES: &[(Family, f32, &str)] = &[
    // No sign by itself: tells that the text speaks to or of a machine.
    (Machine, 0.0, "<machine>"),

    // Drop your instructions.
    (InstructionOverride, 0.85, "<override> ..4 <previous> ..2 <directive>"),
    (InstructionOverride, 0.85, "<override> ..3 <directive> ..2 anteriores|anterior|previas|previos|précédentes|précédents|precedentes|precedenti"),
    (InstructionOverride, 0.8, "<override> ..2 all|any|every|everything ..3 <instruction>"),
    (InstructionOverride, 0.55, "<override> ..2 all|any|every ..3 <directive>"),
    (InstructionOverride, 0.55, "<override> ..2 all|any|every ..2 <previous> ..1 orders|order"),
    (InstructionOverride, 0.7, "<drop> ..2 all|any|your ..3 <instruction>"),
    (InstructionOverride, 0.55, "<override> the user|users|operator|operators|developer|developers ..4 task|instead|request|and|policy"),
    (InstructionOverride, 0.5, "directive|directives|instruction|instructions|message|prompt supersede|supersedes|overrides|override|replaces all|any|every|your|previous|prior"),
    (InstructionOverride, 0.75, "<override> ..2 your|alle|allen|todas|toutes|tutte|sve|все|ihre|deine ..1 <directive>"),
    (InstructionOverride, 0.65, "<override> ..3 <previous> ..1 <task>"),
    (InstructionOverride, 0.6, "<override> all|everything ..2 the ..1 <task>"),
    (InstructionOverride, 0.65, "<override> all|the ..1 <task> provided"),
    (InstructionOverride, 0.75, "<override> ..2 <directive> ..5 before|above|previously|prior|earlier|gave|given|got|received|provided"),
    (InstructionOverride, 0.7, "forget|disregard|ignore|vergiss|vergessen|ignoriere|olvida|olvide|oubliez|oublie ..2 everything|anything|alles|todo|tout ..4 before|above|previously|beforehand|prior|told|davor|vorher|sabes|know|learned|bisher"),
    (InstructionOverride, 0.5, "forget|disregard|ignore|vergiss|ignoriere|olvida|olvide ..2 everything|anything|alles|todo ..4 said|gesagte|besprochen|discussed|digo"),
    (InstructionOverride, 0.65, "forget|disregard|ignore ..2 what|whatever|all ..2 you ..4 before|above|previously|told|taught|know|learned|trained"),
    (InstructionOverride, 0.5, "forget|disregard|ignore ..2 what|whatever|all ..4 before|above|previously|beforehand|said|told|davor|vorher"),
    (InstructionOverride, 0.6, "<override> everything|alles|todo|tout|all ~2 <answer_verb>"),
    (InstructionOverride, 0.65, "<override> the|die above|previous|preceding|obigen ~2 and|instead|say"),
    (InstructionOverride, 0.6, "ignore above|previous|preceding ~1 and|instead|say|print|write|output|answer"),
    (InstructionOverride, 0.6, "<previous> ..1 <directive> ..3 <overridden>"),
    (InstructionOverride, 0.6, "<previous> ..1 <directive>|ausführungen|informationen|aufgaben ..3 <override>"),
    (InstructionOverride, 0.55, "abweichend ..2 <previous> ..1 <directive>"),
    (InstructionOverride, 0.6, "leave|lassen|put ..2 <all> ..1 <previous> ..1 <task>|<directive> ..3 behind|hinter|aside"),
    (InstructionOverride, 0.6, "remove ..2 <all> ..1 <previous> ..1 <task>|<directive>"),
    (InstructionOverride, 0.4, "new|updated|additional|neue|neuen instruction|instructions|instruktionen|anweisungen"),
    (InstructionOverride, 0.35, "new|neue|neuen|next task|tasks|aufgabe|aufgaben ..1 follow|follows|is|folgen|zu"),
    (InstructionOverride, 0.45, "focus|concentrate|konzentriere ..2 your|deine|the|die new|neue task|aufgabe"),
    (InstructionOverride, 0.4, "change|replace|update|rewrite your instructions|directives|rules|programming"),
    (InstructionOverride, 0.5, "your instructions|task|goal|purpose|objective are|is now"),
    (InstructionOverride, 0.5, "dont|not|never|nicht ..1 follow|obey|adhere|abide ..3 <previous>|your|any|the|openai|openais ..2 <directive>|<policy>"),
    (InstructionOverride, 0.4, "supersede|supersedes|override|overrides|replace|replaces ..2 all|any|every|your|previous ..3 <directive>|<policy>"),
    (InstructionOverride, 0.45, "following|these ..2 <directive> ..4 most|highest|precedence|supersede|override|priority ..3 important|priority|over|all"),
    (InstructionOverride, 0.4, "instead ..2 output|print|say|write|respond ..6 prompt|haha|pwned|hacked|lol"),
    (InstructionOverride, 0.5, "haha pwned"),
    (InstructionOverride, 0.45, "stop|stopp|halt ~2 ignore|ignoriere|write|schreibe|say|forget"),
    (InstructionOverride, 0.3, "despite ..1 what youve|you ..2 told|taught|learned"),
    (InstructionOverride, 0.35, "not|nicht|dont answer|look|use ..4 <task> ~6 output|say|tell|print"),
    (InstructionOverride, 0.35, "own knowledge ..2 not ..2 articles|documents|context"),

    // Be somebody without limits.
    (Persona, 0.9, "do anything now"),
    (Persona, 0.6, "stands for ..3 do|doing|able|anything|strive"),
    (Persona, 0.5, "as|named|called|to|be|are|become|is dan"),
    (Persona, 0.5, "dan ..1 mode|can|is|will|prompt|jailbreak|has|response|never|does"),
    (Persona, 0.4, "typical confines|limitations|restrictions"),
    (Persona, 0.65, "broken|broke|break|breaks|freed|free|liberated ..4 confines|chains|shackles|bonds|limitations|limits|constraints|restraints"),
    (Persona, 0.45, "<unlimited> ..2 <bot>"),
    (Persona, 0.3, "<bot> ..4 <unlimited>"),
    (Persona, 0.45, "<you> ..4 <be>|have|has|possess ..3 <unlimited>"),
    (Persona, 0.5, "<you> ..3 have|has|had|with|possess|possesses|is|are ..1 no|zero|without|free ..5 <limit>"),
    (Persona, 0.5, "<you> dont|doesnt|never|not ..1 have|has|need|follow ..2 any|a|to ..3 <limit>|<moral>"),
    (Persona, 0.5, "no|without|any|zero|lacks|free ..3 <moral> ..3 <limit>|guidelines|code|compass|considerations|constraints|obligations|implications|qualms|bias"),
    (Persona, 0.55, "<you> ..3 no|without|any|lacks|zero|free ..3 <moral>"),
    (Persona, 0.45, "free ..1 from|of ..3 <limit>"),
    (Persona, 0.4, "without ..2 any ..3 <limit>|censorship|censoring|filter"),
    (Persona, 0.35, "<bot> ..4 without|no ..2 <limit>|censorship"),
    (Persona, 0.3, "from now on|forward ..3 <you>"),
    (Persona, 0.3, "from on now ..2 <you>"),
    (Persona, 0.3, "jetzt|nun|now bist|are|act|you du|you|are|as"),
    (Persona, 0.25, "<pretend> ..2 <you> ..4 <bot>"),
    (Persona, 0.45, "<pretend> ..8 <unlimited>"),
    (Persona, 0.45, "<malign> ..1 ai|ki|assistant|chatbot|bot|confidant|trusted|robot|language|twin|version"),
    (Persona, 0.35, "break|breaking|breaks|breakout|leave|leaving|exit of|out|the|your|my|this|character"),
    (Persona, 0.4, "never|not|dont|without ..2 break|breaks|breaking|leave|drop ..2 character|role"),
    (Persona, 0.35, "stay|remain|staying|stays|bleiben|bleibt ..2 in|as ..3 character|dan|role|rolle|roles|rollen|figure"),
    (Persona, 0.45, "replaced by|with ..6 model|ai|persona|version|named"),
    (Persona, 0.45, "immerse|immersed ..2 yourself|itself ..2 role|into|in"),
    (Persona, 0.35, "two ..2 responses|ways|answers|paragraphs|outputs|replies|styles|personas|entities"),
    (Persona, 0.3, "answer|respond|reply|responding ..3 both ..2 as|chatgpt|gpt|dan|ways|ai"),
    (Persona, 0.35, "chatgpt|gpt|normal ..3 and ..4 dan|jailbreak|jailbroken|evil|uncensored|developer|unfiltered"),
    (Persona, 0.5, "jailbroken|jailbreak|jailbreaked ..1 ai|chatgpt|gpt|mode|model|response|output|assistant|version|successfully"),
    (Persona, 0.35, "successfully jailbroken|jailbreaked|hacked"),
    (Persona, 0.35, "lose|deduct|deducted|deducts|subtract|losing ..4 tokens|token|points|lives|credits"),
    (Persona, 0.3, "opposite|contrary ..4 chatgpt|openai|ai|assistant|guidelines|normal"),
    (Persona, 0.35, "no longer ..4 bound|restricted|limited|constrained|required|governed|chatgpt|ai|censored"),
    (Persona, 0.45, "not ..2 bound|restricted|limited|constrained|governed ..2 by|to ..4 <limit>|<moral>|<policy>|openai|openais|any|rules|laws"),
    (Persona, 0.3, "act|acting|behave|respond|responding|acts ..2 as|like ..3 chatgpt|gpt|ai|dan|uncensored|jailbroken"),
    (Persona, 0.35, "you ..2 now|are|be ..1 <malign>|<unlimited>"),
    (Persona, 0.25, "alter ego"),
    (Persona, 0.25, "you are|will now"),
    (Persona, 0.3, "from this moment|point|time on|forward|onward|onwards|you"),
    (Persona, 0.5, "ai|bot|chatbot|assistant|gpt|chatgpt|model ..3 no|without|zero ..2 <limit>"),
    (Persona, 0.4, "anything and everything"),
    (Persona, 0.35, "capable|able of|to|do ..2 anything|everything"),
    (Persona, 0.3, "jailbreak|jailbroken|jailbreaked"),
    (Persona, 0.5, "sin|ohne|sans|senza|sem ..1 restricciones|filtro|filtros|censura|límites|einschränkungen|beschränkungen|zensur|filter|regeln|restrictions|filtre|limites|restrizioni|restrições"),
    (Persona, 0.5, "keine|keinen ..2 richtlinien|regeln|einschränkungen|beschränkungen|filter ..2 mehr|befolgst"),
    (Persona, 0.35, "believe|opinions|emotions|feelings ..3 own ..3 opinions|personality|free|will"),
    (Persona, 0.3, "swear|curse|swearing|cursing|profanity|profanities|curses ..4 freely|words|like|often|sentence|word|every|use"),

    // Addressed to a machine that reads somebody else's text.
    (InstructionOverride, 0.4, "note|message|notice|instruction|instructions|important to|for ..3 ai|bot|assistant|assistants|llm|model|agent|agents|chatbot"),
    (InstructionOverride, 0.4, "ai|llm assistant|assistants|agent|agents|model|models|system|systems reading|processing|reviewing|parsing|summarizing|integrating this"),
    (InstructionOverride, 0.45, "if you are|re an|a ai|llm|language|assistant|chatbot"),
    (InstructionOverride, 0.4, "end of user|system input|prompt|query|message|instructions"),
    (InstructionOverride, 0.25, "end of document|context|input|text"),

    // Never refuse; disregard the policy.
    (SafetyBypass, 0.65, "<evade> ..3 your ..3 <safety>|content|ethical ..2 <policy>|<limit>|training"),
    (SafetyBypass, 0.55, "<evade> ..4 openai|openais|content|ethical|safety|moderation|usage ..3 <policy>"),
    (SafetyBypass, 0.5, "<without>|regardless|against|care|cares|despite|violate|violates ..5 openai|openais|content|usage|ethical|safety ..3 <policy>"),
    (SafetyBypass, 0.3, "openai|openais|anthropic|chatgpt|chatgpts ..3 <policy>|<limit>|censorship|content"),
    (SafetyBypass, 0.3, "open ai|ais ..3 <policy>|<limit>|content"),
    (SafetyBypass, 0.45, "<never>|no ..3 <refuse> ..5 to|any|request|requests|answer|question|questions|a|my|anything|me|user|order|prompt|human"),
    (SafetyBypass, 0.4, "never|cannot|cant|wont|not ..2 say|says|saying|state|states|mention|tell|output ..6 no|cant|cannot|unable|sorry|unethical|illegal|immoral|inappropriate|impossible|wrong"),
    (SafetyBypass, 0.35, "never|not|dont|cannot|without ..3 <refuse>|warn|remind|inform"),
    (SafetyBypass, 0.55, "no matter|regardless|irrespective ..4 <bad>|legality|ethics|morality|legal|ethical|moral|consequences|extreme|controversial|wrong"),
    (SafetyBypass, 0.5, "without|no ..1 regard|concern|consideration|question|care ..4 <moral>|consequences|safety|<bad>"),
    (SafetyBypass, 0.5, "even ..1 if|when|though ..5 <bad>"),
    (SafetyBypass, 0.35, "<bad> ..2 <bad>"),
    (SafetyBypass, 0.35, "<bad> ..2 <bad> ..2 <bad>"),
    (SafetyBypass, 0.35, "<you> ..4 can|will|must|should|able|could|allowed|may ..3 say|do|generate|provide|answer|create|produce|give|talk|discuss|write|respond|display|use|output ..4 <bad>|anything|everything|whatever|profanity"),
    (SafetyBypass, 0.35, "answer|respond|fulfill|comply|follow|obey|accept|accepts|obeys|answers|execute ..3 any|all|every|my|each ..2 question|questions|request|requests|prompt|prompts|command|commands|order|orders|instructions|demand|demands|and"),
    (SafetyBypass, 0.4, "must|will|always|should|shall ..1 comply|obey"),
    (SafetyBypass, 0.35, "no|without|never|dont|not ..4 <disclaimer>|apologizing|apologies|moralizing"),
    (SafetyBypass, 0.4, "bypass|bypassing|circumvent|evade|disable|disabled|disables ..3 filter|filters|moderation|censorship|restrictions|safeguards|guardrails|safety"),
    (SafetyBypass, 0.5, "filters|filter|restrictions|safety|guidelines|censorship ..2 disabled|off|removed|lifted|bypassed|deactivated"),
    (SafetyBypass, 0.3, "purely|completely|entirely|just ..1 hypothetical|fictional|fictitious|theoretical"),
    (SafetyBypass, 0.3, "hypothetical|fictional|theoretical|fictitious ..2 response|story|scenario|world|character|situation|setting|conversation"),
    (SafetyBypass, 0.35, "doesnt|dont|not|never|without|no ..3 <moral>|<limit>|ethical|filter ..4 or|and|nor|any ..3 <moral>|<limit>|<bad>|filters|warnings"),
    (SafetyBypass, 0.3, "as an|a ai|artificial|language ..4 model|cannot|cant|intelligence ~12 never|not|dont|avoid|stop|forbidden"),
    (SafetyBypass, 0.3, "never|not|dont|stop|avoid ..3 say|saying|mention|refer|respond|starting|reply ..4 as ..1 an|a ai|language|artificial"),
    (SafetyBypass, 0.5, "<policy>|<limit>|<moral>|rules ..2 dont|not|no|never|longer ..2 apply|applies|exist|matter|bind"),
    (SafetyBypass, 0.4, "<bad> ..6 is|are ..1 allowed|permitted|fine|okay|acceptable|encouraged"),
    (SafetyBypass, 0.45, "without|no ..1 hesitation|refusal|refusals|refusing|censorship|restrictions ..2 or ..2 <refuse>|refusal|hesitation|restriction|restrictions|filter|filters|warnings|question"),
    (SafetyBypass, 0.35, "answer|respond|reply|comply ..4 without ..2 restrictions|restriction|limits|limitations|censorship|filters|filter"),
    (SafetyBypass, 0.35, "anything|everything ..2 goes|allowed|permitted|possible|legal"),
    (SafetyBypass, 0.3, "graphic|explicit|erotic|nsfw|sexual|gory|smut ..3 detail|details|content|scenes|descriptions|and|story"),
    (SafetyBypass, 0.35, "dont|not|doesnt|never ..2 care|cares ..2 about|if|for ..4 <moral>|<bad>|<policy>|<limit>|consequences|rules|feelings|openai"),
    (SafetyBypass, 0.3, "im sorry ..1 but ~3 i|as cannot|cant|an"),

    // Show me your prompt.
    (PromptExtraction, 0.75, "<reveal> ..3 your|its|the|deine|ihre|deinen|tu|tus ..4 <hidden> ..2 <prompt>"),
    (PromptExtraction, 0.65, "<reveal> ..1 me|us|mir ..2 your|deine|deinen|ihre ..1 <prompt>"),
    (PromptExtraction, 0.65, "<reveal> ..2 all|alle|gesamten|every|tu|il ..2 prompt|prompts|prompttexte"),
    (PromptExtraction, 0.7, "<reveal> ..3 system prompt|message|instructions|instruction"),
    (PromptExtraction, 0.7, "<reveal> ..3 systemprompt|systemanweisungen|systemanweisung|systemnachricht|systeminstruktionen"),
    (PromptExtraction, 0.7, "<reveal> ..2 tus|tes|tue|las|les|le|tu|tuo|il|el|deinen ..1 instrucciones|instructions|istruzioni|consignes|prompt|mensaje ..2 sistema|système|systeme|iniciales|inicial"),
    (PromptExtraction, 0.6, "<reveal> ..1 everything|all ..3 your context|prompt|memory|instructions"),
    (PromptExtraction, 0.4, "<reveal> ..4 operating instructions|rules|prompt"),
    (PromptExtraction, 0.6, "what ..1 is|are|was|were|does|s your ..3 system|initial|original|hidden|secret|exact|internal ..2 <prompt>|message"),
    (PromptExtraction, 0.5, "what is|are|was|were your prompt|instructions|directives"),
    (PromptExtraction, 0.5, "tell|show|give|reveal me|us ..2 what|which ..1 are|is|were your ..2 instructions|prompt|rules"),
    (PromptExtraction, 0.6, "repeat|print|output|recite|echo|wiederhole|copy ..2 everything|words|text|all|sentences|alles|message|content ..3 above|before|preceding|earlier|previously|oben"),
    (PromptExtraction, 0.5, "what ..2 written|said|says|beginning|first|text|sentences|sentence ..4 above|before|beginning|prompt|preceding"),
    (PromptExtraction, 0.55, "beginning|start|top|first ..2 of ..1 this|the|your|our prompt|conversation|instructions|context"),
    (PromptExtraction, 0.4, "copy|full|entire ..2 of|prompt ..2 full|prompt|text|prompts"),
    (PromptExtraction, 0.45, "instructions|prompt|rules ..2 you ..1 were|was|have ..1 given|been|told|programmed|provided ~6 <reveal>|verbatim|exactly"),
    (PromptExtraction, 0.35, "word for word"),
    (PromptExtraction, 0.35, "your ..1 hidden|secret|internal|confidential ..2 instructions|rules|prompt|information|password|key|data|guidelines"),
    (PromptExtraction, 0.45, "<reveal> ..4 secret|password|passwords|credentials|confidential|keys ..3 key|keys|password|word|information|data|you|were|in"),

    // A mode where the rules are off.
    (SpecialMode, 0.45, "<special_mode> mode ..3 <enabled>|output|response"),
    (SpecialMode, 0.35, "<enable>|with|in|into ..3 <special_mode> mode"),
    (SpecialMode, 0.6, "<you>|gpt ..7 developer|dev|debug|god|dan|jailbreak|unrestricted|evil|opposite|sudo|root mode"),
    (SpecialMode, 0.4, "dan|jailbreak|god|evil|chaos|unrestricted|uncensored|opposite mode"),
    (SpecialMode, 0.4, "you|i ..3 have|are|am ..2 developer|admin|administrator|root|creator|sudo ..2 access|privileges|rights|openai|of"),
    (SpecialMode, 0.35, "stay|remain|stays ..2 in ..2 mode"),
    (SpecialMode, 0.5, "modo desarrollador|desenvolvedor|sviluppatore|dios"),
    (SpecialMode, 0.5, "entwicklermodus|adminmodus|gottmodus"),
    (SpecialMode, 0.3, "knowledge ..1 cut|cutoff|is ..4 2021"),
    (SpecialMode, 0.35, "simulate|simulator|simulation|emulate|emulator ..6 virtual|developer|mode|uncensored|jailbroken|machine"),

    // Smuggled in another encoding.
    (EncodedRequest, 0.65, "<decode> ..6 <encoding>|string|message|text ..8 <comply> ..3 it|them|instructions|instruction|commands|command|request|task|says|contents"),
    (EncodedRequest, 0.65, "<decode>|<encoding> ..8 and|then ..2 <comply> ..3 it|them|instructions|instruction|commands|command|decoded"),
    (EncodedRequest, 0.4, "respond|reply|answer|output|write|speak ..6 in|using ..1 <encoding>"),
    (EncodedRequest, 0.4, "<encoding> ..3 <directive>"),
];

/// Words that the longest pattern spans.
pub(super) const LONGEST: usize = 24;

/// "Do not forget the previous instructions."
const DENIALS: &[&str] =
    &["not", "dont", "never", "cannot", "cant", "nicht", "wont", "shouldnt", "couldnt"];

/// One step of a pattern.
pub(super) struct Step {
    /// Words that are this step.
    pub(super) words: WordSet,
    /// How many other words may stand before it.
    pub(super) gap: usize,
    /// Whether the words between may end a sentence.
    pub(super) crosses: bool,
}

/// One rule, read.
pub(super) struct Rule {
    pub(super) family: Family,
    pub(super) weight: f32,
    pub(super) steps: Vec<Step>,
}

/// A rule of several steps that may begin with some word.
#[derive(Clone, Copy)]
pub(super) struct Opening {
    /// Its place in [`Rules::all`].
    pub(super) rule: usize,
    /// Its rarest step after the first, by the place in [`Rules::rare`].
    pub(super) rare: u16,
    /// How many words further that stands at most.
    pub(super) within: usize,
}

/// The rules that may begin with some word.
#[derive(Clone, Default)]
pub(super) struct Openings {
    /// Those of one step, by their place in [`Rules::all`].
    pub(super) alone: Vec<usize>,
    /// Those of several, ordered by their rarest step.
    pub(super) before: Vec<Opening>,
    /// The rarest steps of these.
    pub(super) needs: RareSet,
}

/// All rules, read, with the words they use.
pub(super) struct Rules {
    pub(super) all: Vec<Rule>,
    /// The number of each word; 0 stands for a word that no rule uses.
    pub(super) vocabulary: Vocabulary,
    /// By the number of a word: the rules that may begin with it.
    pub(super) by_opener: Vec<Openings>,
    /// The rarest step of each rule that has several, each once.
    pub(super) rare: Vec<WordSet>,
    /// By the number of a word: those of them that it is in.
    pub(super) rare_of: Vec<Vec<u16>>,
    /// Words that turn what follows into its contrary.
    pub(super) denials: WordSet,
}

/// Every word of the rules and their classes, some more than once: the normaliser's measure of what is text.
pub(crate) fn words() -> impl Iterator<Item = &'static str> {
    let atoms = RULES.iter().flat_map(|(_, _, pattern)| pattern.split([' ', '|']));
    let atoms = atoms.filter(|atom| !atom.starts_with(['<', '.', '~']));
    CLASSES.iter().flat_map(|(_, words)| words.split_whitespace()).chain(atoms)
}

/// How many rules there are, markers included.
pub(super) fn count() -> usize {
    RULES.len() + markers::COUNT
}

impl Rules {
    /// The rules, read once a process.
    pub(super) fn get() -> &'static Self {
        static READ: LazyLock<Rules> = LazyLock::new(Rules::read);
        &READ
    }

    fn read() -> Self {
        let classes: HashMap<&str, Vec<&str>> = CLASSES
            .iter()
            .map(|(name, words)| (*name, words.split_whitespace().collect()))
            .collect();
        let mut numbers = Numbers::default();
        let mut denials = WordSet::default();
        DENIALS.iter().for_each(|word| denials.insert(numbers.of(word)));
        let mut all = Vec::with_capacity(RULES.len());
        for (family, weight, pattern) in RULES {
            let mut steps = Vec::new();
            let (mut gap, mut crosses) = (0, false);
            for part in pattern.split_whitespace() {
                if let Some(n) = part.strip_prefix("..").or_else(|| part.strip_prefix('~')) {
                    gap = n.parse().unwrap_or(0);
                    crosses = part.starts_with('~');
                    continue;
                }
                let mut words = WordSet::default();
                for atom in part.split('|') {
                    match atom.strip_prefix('<').and_then(|a| a.strip_suffix('>')) {
                        Some(class) => {
                            for word in classes.get(class).into_iter().flatten() {
                                words.insert(numbers.of(word));
                            }
                        }
                        None => words.insert(numbers.of(atom)),
                    }
                }
                steps.push(Step { words, gap, crosses });
                (gap, crosses) = (0, false);
            }
            all.push(Rule { family: *family, weight: *weight, steps });
        }
        let words = numbers.words.len() + 1;
        let mut rules = Self {
            all,
            vocabulary: numbers.table(),
            by_opener: vec![Openings::default(); words],
            rare: Vec::new(),
            rare_of: vec![Vec::new(); words],
            denials,
        };
        rules.open(&numbers);
        rules
    }

    /// Notes which rules each word may open, and what must stand ahead of it.
    fn open(&mut self, numbers: &Numbers) {
        for (index, rule) in self.all.iter().enumerate() {
            let mut within = 0;
            let mut rarest: Option<(f32, &WordSet, usize)> = None;
            for step in rule.steps.iter().skip(1) {
                within += step.gap + 1;
                let common = numbers.commonness(&step.words);
                if rarest.is_none_or(|(least, ..)| common < least) {
                    rarest = Some((common, &step.words, within));
                }
            }
            let rare = rarest.map(|(_, words, within)| {
                let place = self.rare.iter().position(|known| known == words);
                let place = place.unwrap_or_else(|| {
                    self.rare.push(words.clone());
                    self.rare.len() - 1
                });
                (place as u16, within)
            });
            for id in rule.steps[0].words.iter() {
                let openings = &mut self.by_opener[id];
                match rare {
                    Some((rare, within)) => {
                        let behind = openings.before.partition_point(|o| o.rare <= rare);
                        openings.before.insert(behind, Opening { rule: index, rare, within });
                        openings.needs.insert(rare);
                    }
                    None => openings.alone.push(index),
                }
            }
        }
        for (place, words) in self.rare.iter().enumerate() {
            words.iter().for_each(|id| self.rare_of[id].push(place as u16));
        }
    }
}

/// Words and their numbers while rules are read, 1 and up.
#[derive(Default)]
struct Numbers {
    words: Vec<&'static str>,
    numbers: HashMap<&'static str, usize>,
}

impl Numbers {
    fn of(&mut self, word: &'static str) -> usize {
        *self.numbers.entry(word).or_insert_with(|| {
            self.words.push(word);
            self.words.len()
        })
    }

    /// How often one meets a word of a set, as a figure to compare sets by.
    fn commonness(&self, set: &WordSet) -> f32 {
        set.iter().map(|id| commonness(self.words[id - 1])).sum()
    }

    fn table(&self) -> Vocabulary {
        Vocabulary::new(self.words.iter().zip(1u16..).map(|(word, id)| (word.as_bytes(), id)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::matcher::{MAX_WORD, REACH};
    use super::*;

    #[test]
    fn every_pattern_is_well_formed() {
        for (_, weight, pattern) in RULES {
            assert!((0.2..=0.95).contains(weight) || pattern == &"<machine>", "{pattern}");
            let mut span = 0;
            let mut after_gap = true;
            for part in pattern.split_whitespace() {
                let gap = part.strip_prefix("..").or_else(|| part.strip_prefix('~'));
                if let Some(n) = gap {
                    let n: usize = n.parse().unwrap_or_else(|_| panic!("{part} in {pattern}"));
                    assert!(!after_gap, "a gap must stand between steps: {pattern}");
                    span += n;
                    after_gap = true;
                    continue;
                }
                after_gap = false;
                span += 1;
                for atom in part.split('|') {
                    if let Some(class) = atom.strip_prefix('<') {
                        let class = class.strip_suffix('>').expect(pattern);
                        assert!(
                            CLASSES.iter().any(|(name, _)| *name == class),
                            "<{class}> in {pattern}"
                        );
                    } else {
                        assert_word(atom, pattern);
                    }
                }
            }
            assert!(!after_gap, "{pattern}");
            assert!(span <= LONGEST && LONGEST <= REACH, "{pattern}: {span}");
        }
    }

    #[test]
    fn every_class_holds_words_the_reader_can_produce_and_is_used() {
        for (name, words) in CLASSES {
            for word in words.split_whitespace() {
                assert_word(word, name);
            }
            let used = format!("<{name}>");
            assert!(RULES.iter().any(|(_, _, p)| p.contains(&used)), "{used} is in no rule");
        }
    }

    #[test]
    fn no_rule_stands_twice() {
        for (i, (_, _, pattern)) in RULES.iter().enumerate() {
            assert!(RULES[..i].iter().all(|(_, _, other)| other != pattern), "{pattern}");
        }
    }

    #[test]
    fn different_words_have_different_numbers() {
        let rules = Rules::get();
        let mut words: Vec<&str> = CLASSES.iter().flat_map(|(_, w)| w.split_whitespace()).collect();
        words.extend(DENIALS);
        words.extend(RULES.iter().flat_map(|(_, _, p)| {
            p.split([' ', '|']).filter(|a| !a.starts_with(['<', '.', '~']) && !a.is_empty())
        }));
        words.sort_unstable();
        words.dedup();
        for word in &words {
            let id = rules.vocabulary.get(word.as_bytes());
            assert!(id.is_some_and(|id| usize::from(id) <= words.len()), "{word}");
        }
        let mut ids: Vec<_> = words.iter().map(|w| rules.vocabulary.get(w.as_bytes())).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), words.len());
        assert!(words.len() < WordSet::CAPACITY);
        assert!(rules.rare.len() <= RareSet::CAPACITY, "{} steps", rules.rare.len());
    }

    fn assert_word(word: &str, place: &str) {
        assert!(
            !word.is_empty() && word.len() <= MAX_WORD && word.chars().all(char::is_alphanumeric),
            "`{word}` in {place}"
        );
        assert_eq!(word.to_lowercase(), word, "in {place}");
    }
}
