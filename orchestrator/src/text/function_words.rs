// SPDX-License-Identifier: AGPL-3.0-or-later
//! Function words: those without a topic. English ones always count; those of German, French,
//! Spanish, Italian, Portuguese, Dutch and Polish only in texts that hold more of them, as `war`,
//! `car` and `die` are words of English too.

use super::words::{is_stop_word, words};

/// Bytes of a text that tell its language.
const LANGUAGE_BYTES: usize = 4096;

/// Function words of other languages than English, sorted for binary search.
#[rustfmt::skip]
const OTHERS: &[&str] = &[
    "a", "aan", "aber", "al", "ale", "alla", "allerdings", "als", "am", "an", "anche", "ao",
    "aquela", "aquele", "aqui", "as", "asimismo", "au", "auch", "auf", "aus", "aussi", "aux",
    "avait", "avec", "bei", "bij", "bis", "był", "była", "było", "car", "ce", "ceci", "cela", "ces",
    "cet", "cette", "che", "chez", "chi", "co", "com", "come", "comme", "como", "con", "cuando",
    "czy", "da", "dabei", "dal", "dalla", "damit", "dan", "danach", "dann", "dans", "dar", "das",
    "dass", "dat", "de", "dei", "del", "della", "delle", "dem", "den", "dennoch", "depuis", "der",
    "des", "deshalb", "deze", "di", "die", "dies", "diese", "dieser", "dieses", "dit", "dla",
    "dlatego", "do", "doch", "dont", "door", "dopo", "dort", "dos", "du", "durch", "dus", "e",
    "een", "ein", "eine", "einem", "einen", "einer", "el", "ela", "elas", "ele", "eles", "ella",
    "ellas", "elle", "elles", "ellos", "em", "en", "entonces", "entre", "er", "era", "ero", "es",
    "esa", "ese", "eso", "essa", "esse", "est", "esta", "estas", "este", "esto", "estos", "et",
    "eu", "fait", "foi", "fra", "fue", "für", "gdy", "gegen", "gli", "ha", "haar", "haben", "han",
    "hanno", "hat", "hatte", "hebben", "heeft", "het", "hier", "hij", "hun", "i", "ich", "ihr",
    "ihre", "ik", "il", "ils", "im", "in", "infine", "inoltre", "ins", "is", "isso", "ist", "ja",
    "jak", "je", "jednak", "jego", "jej", "jest", "jetzt", "już", "já", "kan", "kann", "kiedy",
    "która", "które", "który", "können", "la", "las", "le", "lei", "les", "leur", "leurs", "lo",
    "los", "lub", "lui", "ma", "maar", "mais", "man", "mas", "mehr", "mein", "meine", "met", "mi",
    "mit", "może", "muchos", "muito", "muy", "my", "más", "na", "naar", "nach", "nachdem", "nad",
    "nas", "ne", "nel", "nella", "nicht", "nie", "niet", "no", "noch", "nog", "non", "nos", "nous",
    "nur", "não", "o", "obwohl", "od", "oder", "of", "ohne", "om", "on", "ona", "oni", "ono", "ont",
    "onze", "ook", "op", "oraz", "os", "otra", "otro", "ou", "over", "où", "par", "para", "pas",
    "per", "perché", "pero", "più", "plus", "po", "pod", "poi", "pois", "por", "pour", "przed",
    "przez", "przy", "puis", "quand", "quando", "que", "quem", "questa", "questo", "qui", "quien",
    "quindi", "sa", "sans", "schon", "se", "sehr", "sein", "seine", "seit", "selon", "sem", "ses",
    "seu", "seus", "si", "sich", "sie", "sin", "sind", "się", "so", "sobre", "son", "sono", "sont",
    "sous", "su", "sua", "suo", "suoi", "sur", "sus", "são", "są", "ta", "tak", "także", "tam",
    "también", "também", "te", "tego", "tej", "ten", "teraz", "to", "toen", "tous", "tout",
    "toutes", "tra", "trotzdem", "très", "tutti", "tylko", "u", "uit", "um", "uma", "umas", "un",
    "una", "unas", "und", "une", "uno", "unos", "uns", "unser", "unsere", "unter", "van",
    "vervolgens", "vom", "von", "voor", "vous", "w", "wanneer", "war", "waren", "was", "we",
    "wegen", "weil", "wel", "wenn", "werden", "wie", "wij", "wir", "wird", "wo", "worden", "wordt",
    "wurde", "y", "ya", "z", "za", "ze", "zich", "zij", "zijn", "zu", "zum", "zur", "zwar", "à",
    "às", "è", "é", "él", "était", "étant", "été", "être", "über", "że",
];

/// Whether a word in lower case is a function word of another language than English.
pub(crate) fn is_foreign(folded: &str) -> bool {
    OTHERS.binary_search(&folded).is_ok()
}

/// The function words of one text's language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FunctionWords {
    foreign: bool,
}

impl FunctionWords {
    /// Those of the language that the first bytes of `text` are in.
    pub fn of(text: &str) -> Self {
        let mut cut = text.len().min(LANGUAGE_BYTES);
        while !text.is_char_boundary(cut) {
            cut -= 1;
        }
        let (mut english, mut foreign) = (0, 0);
        for word in words(&text[..cut]) {
            // Words of both (`in`, `was`) tell nothing.
            match (is_stop_word(word.text), is_foreign(&word.text.to_lowercase())) {
                (true, false) => english += 1,
                (false, true) => foreign += 1,
                _ => {}
            }
        }
        Self { foreign: foreign > english }
    }

    /// Whether `word`, in any case, is one.
    pub fn contains(&self, word: &str) -> bool {
        is_stop_word(word) || (self.foreign && is_foreign(&word.to_lowercase()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(OTHERS.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn words_count_in_their_language() {
        let english = FunctionWords::of("The war on the car was over, and nobody would die.");
        assert!(english.contains("The") && !english.contains("war") && !english.contains("car"));
        for text in [
            "Der Krieg war vorbei und die Stadt lag in Trümmern.",
            "La voiture est dans la rue et elle ne marche pas.",
            "El coche que compré ayer no funciona muy bien.",
            "La macchina che ho comprato non è nella strada.",
            "O carro que comprei não está na rua.",
            "De auto staat niet op de straat, want hij is weg.",
            "To jest samochód, który nie jest na ulicy.",
        ] {
            let found = FunctionWords::of(text);
            assert!(found.foreign && found.contains("the"), "{text}");
            assert!(text.split(' ').any(|w| found.contains(w) && !is_stop_word(w)), "{text}");
        }
        assert!(!FunctionWords::of("").foreign);
    }
}
