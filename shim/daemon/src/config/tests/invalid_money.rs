//! Errors of what says how an uplink that costs money is used.

/// Invalid configurations: (text after `identity`, line, column, message).
pub(super) const INVALID: &[(&str, usize, usize, &str)] = &[
    (
        "[uplinks.a]\ninterface = 'e'\nbudget = '1.5GB'",
        4,
        10,
        "A `budget` is a whole number and a unit, such as 20GB or 1500MB, and not `1.5GB`.",
    ),
    (
        "[uplinks.a]\ninterface = 'e'\nbudget = '20 G'",
        4,
        10,
        "A `budget` is a whole number and a unit, such as 20GB or 1500MB, and not `20 G`.",
    ),
    (
        "[uplinks.a]\ninterface = 'e'\nbudget = -1",
        4,
        10,
        "A `budget` is a whole number and a unit, such as 20GB or 1500MB, and not `-1`.",
    ),
    (
        "[uplinks.a]\ninterface = 'e'\nbudget = '0'",
        4,
        10,
        "A `budget` of `0` is 0 bytes, which is too little; write at least 1MB, with the unit. For an uplink that is used only where no other answers write `metered = true`.",
    ),
    (
        "[uplinks.a]\ninterface = 'e'\nbudget = 20",
        4,
        10,
        "A `budget` of `20` is 20 bytes, which is too little; write at least 1MB, with the unit. For an uplink that is used only where no other answers write `metered = true`.",
    ),
    (
        "[uplinks.a]\ninterface = 'e'\nbudget = '20GB'\nreset-day = 32",
        5,
        13,
        "`reset-day` is a day of the month from 1 to 31 (the last one where the month is shorter), and not `32`.",
    ),
    (
        "[uplinks.a]\ninterface = 'e'\nbudget = '20GB'\nreset-day = 0",
        5,
        13,
        "`reset-day` is a day of the month from 1 to 31 (the last one where the month is shorter), and not `0`.",
    ),
    (
        "[uplinks.a]\ninterface = 'e'\nbudget = '20GB'\nreset-day = 'last'",
        5,
        13,
        "`reset-day` is a day of the month from 1 to 31 (the last one where the month is shorter), and not `last`.",
    ),
    (
        "[uplinks.a]\ninterface = 'e'\nbudget = '20GB'\nat-budget = 'slow'",
        5,
        13,
        "`slow` is no `at-budget`; write \"stop\" (nothing goes over the uplink then) or \"thin\" (thin flows do, where no other uplink answers).",
    ),
    (
        "[uplinks.a]\ninterface = 'e'\nreset-day = 5",
        4,
        13,
        "`reset-day` says something of a `budget`, and there is none; add one like \"20GB\".",
    ),
    (
        "[uplinks.a]\ninterface = 'e'\nat-budget = 'stop'",
        4,
        13,
        "`at-budget` says something of a `budget`, and there is none; add one like \"20GB\".",
    ),
    (
        "[uplinks.a]\ninterface = 'e'\noverflow = true\n[uplinks.b]\ninterface = 'f'\noverflow = true",
        4,
        12,
        "Every uplink is `overflow`, so that none is left that is to be full first; remove it from the cheapest.",
    ),
    (
        "[uplinks.a]\ninterface = 'e'\noverflow = true\nmetered = true",
        4,
        12,
        "An uplink is `metered` (used only where no other answers) or `overflow` (used by bulk as well, when the others are full); remove one of the two.",
    ),
    (
        "[uplinks.a]\ninterface = 'e'\noverflow-after = '3s'",
        4,
        18,
        "`overflow-after` needs `overflow = true` beside it.",
    ),
    (
        "[uplinks.a]\ninterface = 'e'\noverflow = true\noverflow-after = '2m'",
        5,
        18,
        "`2m` is out of range; write a duration from 1s to 1m.",
    ),
];
