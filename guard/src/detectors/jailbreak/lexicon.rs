// SPDX-License-Identifier: AGPL-3.0-or-later
//! Classes of words the rules speak of. Lower-case, without apostrophes; English first, then German, Spanish, French,
//! Italian, Portuguese, Russian and Croatian where the attack is common.

/// A class: its name in the rules, and its words.
#[rustfmt::skip]
pub(super) const CLASSES: &[(&str, &str)] = &[
    ("machine", "ai ais ki chatgpt chatgpts gpt gpt3 gpt4 gpts openai openais anthropic chatbot bot llm llms dan prompt prompts \
        jailbreak jailbroken unfiltered uncensored claude gemini llama bing bard sydney programming programmed"),
    // To drop what one was told.
    ("override", "ignore ignoring ignored disregard disregarding disregards forget forgetting override overriding neglect dismiss \
        discard overlook unlearn disobey \
        ignoriere ignorieren ignorier vergiss vergessen vergesst missachte missachten vernachlässige \
        olvida olvide olvidar olviden ignora ignorar ignore ignores oublie oubliez oublier ignorez \
        dimentica dimenticare ignorate esqueça esquecer desconsidere забудь забудьте игнорируй игнорируйте zaboravi zanemari zapomnij"),
    // The same of things one also drops in daily life.
    ("drop", "drop erase abandon abort skip cancel reject remove delete leave violate bypass"),
    ("overridden", "ignored disregarded forgotten overridden void cancelled canceled irrelevant obsolete invalid revoked superseded \
        ignorieren vergessen irrelevant hinfällig"),
    ("previous", "previous prior preceding earlier former foregoing past above before preexisting existing initial original \
        vorherigen vorherige vorigen bisherigen bisherige vorangegangenen vorangehenden obigen früheren vorangegangene davor \
        anteriores anterior previas previos précédentes précédents précédente precedentes precedenti precedente предыдущие прошлые prethodne"),
    ("all", "all any every your whole entire everything alle alles allen ihre deine todas todos todo tus toutes tous tes vos tutte \
        tutti todas все всё ваши sve svoje wszystkie"),
    ("directive", "instruction instructions prompt prompts directive directives directions programming guideline guidelines command \
        commands constraints restrictions protocol protocols rules rule instrcutions instuctions \
        anweisungen anweisung instruktionen instruktion befehle befehlen aufträge anordnungen vorgaben regeln richtlinien \
        instrucciones órdenes ordenes reglas indicaciones instructions consignes ordres règles istruzioni regole \
        instruções regras инструкции указания правила команды instrukcije upute naredbe polecenia"),
    // What only a model has.
    ("instruction", "instruction instructions prompt prompts directive directives programming guidelines instrcutions \
        instuctions anweisungen instruktionen instrucciones istruzioni instruções инструкции instrukcije consignes"),
    // Weaker than a directive: also what a person has on a desk.
    ("task", "task tasks assignment assignments context conversation conversations information informations input inputs \
        text articles documents article artikels aufgaben informationen angaben ausführungen training contents"),
    ("answer_verb", "write say print output answer respond reply tell generate do schreibe schreib sag sage schreiben antworte \
        gib di decir dime dites écris escribe dì скажи скажите"),
    ("reveal", "reveal show print display output repeat tell give leak dump expose disclose share recite list echo copy \
        summarize paste spell zeige zeig verrate gib wiederhole nenne muestra muéstrame revela repite montre affiche révèle répète mostra mostrami revela rivela dévoile \
        outputting printing revealing showing return provide write send"),
    ("hidden", "system initial original hidden secret internal full entire complete whole exact underlying preprompt base \
        confidential first previous geheimen ursprünglichen gesamten"),
    ("prompt", "prompt prompts instruction instructions directives preprompt systemprompt promptstext prompttext guidelines \
        prompttexte anweisungen instruktionen"),
    // Being without limits.
    ("unlimited", "unfiltered uncensored unrestricted unmoderated unhinged amoral immoral unethical nonmoral limitless unaligned \
        lawless unbound uninhibited ruthless sociopath sociopathic psychopath psychopathic"),
    ("bot", "ai ais model models assistant chatbot bot language version persona personality character chatgpt gpt gpt3 gpt4 \
        llm machine entity response responses answer answers output outputs mode advice advisor confidant writer"),
    ("limit", "restriction restrictions filter filters filtering limitation limitations limit limits censorship constraints \
        boundaries guidelines safeguards guardrails rules inhibitions restraints guideline regulations regulation policies policy"),
    ("moral", "moral morals morality moralistic ethical ethics ethic legal legality legalities law laws principles scruples \
        conscience empathy remorse"),
    ("bad", "illegal unethical immoral harmful dangerous offensive inappropriate explicit nsfw unlawful derogatory \
        discriminatory racist sexist violent vulgar inhumane hateful toxic malicious unsafe obscene disgusting"),
    ("without", "no without zero disregards disregard lacks lacking free freed absent bypass bypasses bypassing disable disables disabled \
        remove removed removes ignores not doesnt dont isnt never neither nor lifted beyond unbound nicht keine ohne sin sans"),
    ("evade", "skip skipping bypass bypassing circumvent circumventing evade evading disable disabling deactivate sidestep defeat \
        remove subvert override overriding disregard disregarding ignore ignoring violate violating break breaking"),
    ("safety", "safety content moderation ethical ethics security openai openais open alignment usage censorship confidentiality"),
    ("policy", "policy policies guideline guidelines rule rules filter filters restrictions protocols protocol standards measures \
        terms guardrails mechanisms restriction safeguards checks"),
    ("never", "never cannot cant wont not dont doesnt not neither nunca nie niemals without"),
    ("refuse", "refuse refuses refusing refusal decline declines deny denies reject rejects censor censors censored apologize \
        apologizes moralize lecture lectures judge judges withhold hesitate object"),
    ("disclaimer", "warning warnings disclaimer disclaimers caveat caveats apology apologies moralizing lecture lectures"),
    ("you", "you youre u your yourself it he she they dan chatgpt gpt ai du ihr sie"),
    ("be", "are is be being were was become act acting am behave function operate"),
    ("pretend", "pretend pretending imagine act acting roleplay simulate simulating behave emulate impersonate role \
        portray embody play playing stell tu fungieren"),
    ("special_mode", "developer dev debug debugging god admin administrator sudo maintenance unrestricted root dan jailbreak jailbroken \
        opposite evil unlocked uncensored override chaos"),
    ("enabled", "enabled activated active engaged unlocked on enable"),
    ("enable", "enable activate enter switch simulate unlock engage initiate entering activating enabling turn"),
    ("malign", "evil malicious villainous rogue corrupt corrupted sinister wicked malevolent twisted ruthless böse diabolical"),
    ("comply", "comply obey follow execute respond answer do run act perform carry"),
    ("encoding", "base64 rot13 hex hexadecimal binary leetspeak morse cipher ciphertext encoded caesar b64 atbash"),
    ("decode", "decode decoded decoding decrypt decipher deciphering unscramble translate convert"),
];
