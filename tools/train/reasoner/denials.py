# SPDX-License-Identifier: AGPL-3.0-or-later
"""Pairs of our own making about saying no: a denial agrees with what says the same in other words, contradicts what it
denies, and leaves open what it does not speak of. The public sets hardly have the first, so that a judge takes any "not" for a
contradiction."""

# (who, the deed, done, the opposite deed, done, what is done to)
DEEDS = [
    (("The council", "The board", "The committee", "Parliament", "The mayor"), "approve", "approved", "reject", "rejected",
     ("the budget", "the plan for the bridge", "the new law", "the merger", "the application")),
    (("The company", "The owner", "The seller", "The union"), "accept", "accepted", "refuse", "refused",
     ("the offer", "the terms", "the first bid", "the proposal")),
    (("The court", "The jury", "The judge"), "acquit", "acquitted", "convict", "convicted",
     ("the driver", "both directors", "the former minister", "the accused")),
    (("The visitors", "The home side", "Her team", "The challenger"), "win", "won", "lose", "lost",
     ("the match", "the final", "the series", "the third game")),
    (("The shop", "The museum", "The factory", "The library"), "open", "opened", "close", "closed",
     ("on Sunday", "in March", "for the holidays", "after the flood")),
    (("The student", "The candidate", "My sister", "The apprentice"), "pass", "passed", "fail", "failed",
     ("the exam", "the driving test", "the course", "the medical check")),
    (("The school", "The airline", "The landlord", "The park"), "allow", "allowed", "forbid", "forbade",
     ("mobile phones", "dogs", "smoking", "visitors after dark")),
    (("The engineers", "The crew", "The mechanics", "The farmers"), "repair", "repaired", "damage", "damaged",
     ("the pump", "the roof", "the engine", "the old fence")),
    (("The bank", "The shop", "The firm", "The ministry"), "raise", "raised", "lower", "lowered",
     ("its prices", "interest rates", "the fee", "the limit")),
    (("The patient", "The hikers", "All the passengers", "The dog"), "survive", "survived", "die in", "died in",
     ("the crash", "the storm", "the fire", "the avalanche")),
    (("The editor", "The author", "The clerk", "The programmer"), "add", "added", "remove", "removed",
     ("the second paragraph", "the footnote", "the last name", "the warning")),
    (("The witness", "The manager", "The minister", "The player"), "admit", "admitted", "deny", "denied",
     ("the mistake", "the theft", "the claims", "knowing of the deal")),
    (("The tests", "The second study", "The inspectors", "The audit"), "find", "found", "miss", "missed",
     ("the fault", "the leak", "the error", "the missing money")),
    (("The tenant", "The state", "The customer", "The club"), "pay", "paid", "owe", "still owed",
     ("the rent", "the fine", "the whole sum", "the deposit")),
    (("The children", "Most of the members", "The neighbours", "The nurses"), "support", "supported", "oppose", "opposed",
     ("the strike", "the closure", "the new road", "the change")),
]  # fmt: skip

# (what is so, the same by denial, not so, not so by denial) with a thing in front.
STATES = [
    (("The museum", "Entry to the castle", "The bus to the airport", "The app", "Parking"),
     ("is free", "costs nothing", "is free of charge"), ("does not cost anything", "does not charge", "comes without a fee"),
     ("costs five euros", "is expensive", "must be paid for"), ("is not free", "is not free of charge")),
    (("The bridge", "The water here", "This mushroom", "The old mine"),
     ("is safe",), ("is not dangerous", "poses no danger"), ("is dangerous",), ("is not safe", "is unsafe")),
    (("The bottle", "The hall", "The tank", "His desk"),
     ("is empty",), ("has nothing in it", "contains nothing"), ("is full",), ("is not empty",)),
    (("The shop", "The north gate", "The office", "The pass"),
     ("is open",), ("is not closed", "has not closed"), ("is closed", "is shut"), ("is not open",)),
    (("The old king", "The founder", "Her grandfather", "The missing climber"),
     ("is alive",), ("is not dead", "has not died"), ("is dead", "has died"), ("is not alive", "is no longer alive")),
    (("Fishing in the lake", "The trade", "The sale of fireworks", "Copying the book"),
     ("is legal", "is allowed"), ("is not illegal", "is not forbidden"), ("is illegal", "is forbidden"), ("is not legal", "is not allowed")),
    (("The meeting", "The ceremony", "The archive", "The beach"),
     ("is public",), ("is not private", "is open to everyone"), ("is private",), ("is not public", "is closed to the public")),
    (("The report", "The first answer", "Her calculation", "The map"),
     ("is correct",), ("is not wrong", "contains no mistakes"), ("is wrong", "contains mistakes"), ("is not correct",)),
    (("The village", "The house", "The remote station"),
     ("has electricity",), ("is not without electricity", "does not lack electricity"), ("has no electricity", "lacks electricity"),
     ("does not have electricity",)),
    (("The device", "The printer", "The lift", "The heating"),
     ("works",), ("is not broken", "has no fault"), ("is broken", "is out of order"), ("does not work", "no longer works")),
    (("The road", "The climb", "The language"),
     ("is easy",), ("is not difficult", "is not hard"), ("is difficult", "is hard"), ("is not easy",)),
    (("The river", "The tunnel", "His coat"),
     ("is short",), ("is not long",), ("is long",), ("is not short",)),
    (("The drug", "The vaccine", "The new method"),
     ("is effective",), ("is not without effect", "does not fail"), ("is ineffective", "has no effect"), ("is not effective", "does not work")),
    (("Membership", "Registration", "A visa", "A helmet"),
     ("is required", "is compulsory"), ("is not optional", "cannot be left out"), ("is optional", "is voluntary"), ("is not required", "is not needed")),
    (("Nobody in the office", "No member of the crew", "None of the guests"),
     ("was hurt", "was injured"), (), ("escaped injury", "stayed unharmed"), ()),
]  # fmt: skip

TAILS = ("", "", "", " this year", ", the report says", " according to the letter", ", as far as is known")
OTHERS = (
    "The story was in the newspaper on Friday.", "Several people asked about it.", "A photograph was taken.", "It rained all day.",
    "The decision had been expected for weeks.", "More details will follow.", "He had worked there for nine years.",
)  # fmt: skip


def denials(most=4000):
    """A maker of at most so many (premise, claim, label, weight), in random order."""

    def make(rng):
        found = []

        def row(premise, claim, label, weight=0.8):
            premise = premise + rng.choice(TAILS) + "."
            around = rng.random()
            if around < 0.2:
                premise = f"{rng.choice(OTHERS)} {premise}"
            elif around < 0.35:
                premise = f"{premise} {rng.choice(OTHERS)}"
            found.append((premise, claim + ".", label, weight))

        for who, do, did, other, othered, things in DEEDS:
            for subject in who:
                for thing in things:
                    plus = f"{subject} {did} {thing}"
                    not_other = rng.choice((f"{subject} did not {other} {thing}", f"{subject} didn't {other} {thing}"))
                    minus = f"{subject} {othered} {thing}"
                    not_plus = rng.choice(
                        (f"{subject} did not {do} {thing}", f"{subject} failed to {do} {thing}", f"{subject} refused to {do} {thing}")
                    )
                    row(plus, not_other, "entailment")
                    row(minus, not_plus, "entailment")
                    row(plus, minus, "contradiction")
                    row(plus, not_plus, "contradiction")
                    row(minus, not_other, "contradiction")
                    row(minus, plus, "contradiction")
                    row(not_plus, plus, "contradiction")
                    row(not_plus, not_plus.replace("failed to", "did not").replace("refused to", "did not"), "entailment", 0.4)
                    elsewhere = rng.choice([t for t in things if t != thing])
                    row(plus, f"{subject} did not {do} {elsewhere}", "neutral")
                    row(plus, f"{rng.choice([w for w in who if w != subject])} did not {do} {thing}", "neutral")
                    row(minus, f"{subject} {did} {elsewhere}", "neutral")
        for things, yes, not_no, no, not_yes in STATES:
            for thing in things:
                for a in (*yes, *not_no):
                    for b in (*yes, *not_no):
                        if a != b:
                            row(f"{thing} {a}", f"{thing} {b}", "entailment")
                    for b in (*no, *not_yes):
                        row(f"{thing} {a}", f"{thing} {b}", "contradiction")
                        row(f"{thing} {b}", f"{thing} {a}", "contradiction")
                        row(f"{rng.choice([t for t in things if t != thing])} {a}", f"{thing} {b}", "neutral", 0.5)
                for a in (*no, *not_yes):
                    for b in (*no, *not_yes):
                        if a != b:
                            row(f"{thing} {a}", f"{thing} {b}", "entailment")
        rng.shuffle(found)
        return found[:most]

    return make
