// SPDX-License-Identifier: AGPL-3.0-or-later
//! `strftime_now`: the date in the formats that chat templates use.

use std::time::{SystemTime, UNIX_EPOCH};

const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// `format` filled in with `now` in UTC, English names.
///
/// # Errors
/// A directive outside `%Y %y %m %d %e %H %I %M %S %p %j %A %a %B %b %F %T %-d %-m %%`.
pub(crate) fn strftime(format: &str, now: SystemTime) -> Result<String, String> {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    let weekday = DAYS[(days as usize + 3) % 7];
    let month_name = MONTHS[month as usize - 1];
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let directive = chars.next();
        let short = directive == Some('-');
        let text = match if short { chars.next() } else { directive } {
            Some('d') if short => day.to_string(),
            Some('m') if short => month.to_string(),
            Some(_) | None if short => {
                return Err(format!("strftime_now: unknown directive in {format:?}"));
            }
            Some('Y') => year.to_string(),
            Some('y') => format!("{:02}", year % 100),
            Some('m') => format!("{month:02}"),
            Some('d') => format!("{day:02}"),
            Some('e') => format!("{day:2}"),
            Some('H') => format!("{hour:02}"),
            Some('I') => format!("{:02}", (hour + 11) % 12 + 1),
            Some('M') => format!("{minute:02}"),
            Some('S') => format!("{second:02}"),
            Some('p') => if hour < 12 { "AM" } else { "PM" }.into(),
            Some('j') => format!("{:03}", days - first_day(year) + 1),
            Some('A') => weekday.into(),
            Some('a') => weekday[..3].into(),
            Some('B') => month_name.into(),
            Some('b') => month_name[..3].into(),
            Some('F') => format!("{year}-{month:02}-{day:02}"),
            Some('T') => format!("{hour:02}:{minute:02}:{second:02}"),
            Some('%') => "%".into(),
            _ => return Err(format!("strftime_now: unknown directive in {format:?}")),
        };
        out.push_str(&text);
    }
    Ok(out)
}

/// Days from 1970-01-01 to the first day of a year.
fn first_day(year: u64) -> u64 {
    let y = year - 1;
    365 * (year - 1970) + (y / 4 - 492) - (y / 100 - 19) + (y / 400 - 4)
}

/// Year, month and day of a day since 1970-01-01, in the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // 400 years have 146 097 days: the estimate is at most one year too late.
    let mut year = 1970 + days * 400 / 146_097;
    while first_day(year) > days {
        year -= 1;
    }
    while first_day(year + 1) <= days {
        year += 1;
    }
    let leap = first_day(year + 1) - first_day(year) == 366;
    let mut day = days - first_day(year);
    let mut month = 1;
    for length in [31, 28 + u64::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    (year, month, day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let all = "%Y-%m-%d %H:%M:%S %A %a %B %b %j %I %p %y %e %-d %-m %%";
        assert_eq!(
            strftime(all, at(0)).unwrap(),
            "1970-01-01 00:00:00 Thursday Thu January Jan 001 12 AM 70  1 1 1 %"
        );
        // 2024-02-29, a leap day, and 2100-03-01, the day behind one that is none.
        assert_eq!(
            strftime("%F %T %A %j", at(1_709_251_199)).unwrap(),
            "2024-02-29 23:59:59 Thursday 060"
        );
        assert_eq!(strftime("%F %a", at(4_107_542_400)).unwrap(), "2100-03-01 Mon");
        assert_eq!(strftime("%d %b %Y", at(1_767_225_599)).unwrap(), "31 Dec 2025");
        for bad in ["%Q", "%", "%-", "%-Q"] {
            assert!(strftime(bad, at(0)).is_err());
        }
    }
}
