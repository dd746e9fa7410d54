//! Keeps secrets out of what is shown of a config: lines, messages, logs.

/// Words in a key that make its value a secret.
const SECRET_WORDS: [&str; 6] =
    ["password", "passphrase", "secret", "token", "credential", "authorization"];

/// Of these, those whose value may be a table that says where the secret is.
const PLACE_WORDS: [&str; 2] = ["credential", "authorization"];

/// The line with passwords in URLs, and the values of keys that sound like secrets, masked.
/// Every character that is masked becomes one `•`, so that columns stay where they are.
pub(super) fn line(text: &str) -> String {
    let mut masked: Vec<char> = text.chars().collect();
    mask_user_info(&mut masked);
    mask_assignments(&mut masked);
    masked.into_iter().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// `scheme://user:password@host`: what is between the colon and the last `@` of the authority.
fn mask_user_info(line: &mut [char]) {
    let mut from = 0;
    while let Some(at) = find(line, from, &['/', '/']) {
        let start = at + 2;
        let end = line[start..]
            .iter()
            .position(|c| matches!(c, '"' | '\'' | '/' | '?' | '#' | ' ' | ','))
            .map_or(line.len(), |n| start + n);
        // A password may hold what would end the authority of a well-formed URL: mask up to the
        // last `@` of the quoted text.
        let quote = line[start..]
            .iter()
            .position(|c| matches!(c, '"' | '\''))
            .map_or(line.len(), |n| start + n);
        let host = (start..quote.max(end)).rev().find(|i| line[*i] == '@');
        if let Some(host) = host {
            let colon = (start..host).find(|i| line[*i] == ':').map_or(host, |i| i + 1);
            line[colon..host].fill('•');
        }
        from = start;
    }
}

/// `password = "…"`: everything behind the equals sign of a key that sounds like a secret.
fn mask_assignments(line: &mut [char]) {
    let lower: Vec<char> = line.iter().map(char::to_ascii_lowercase).collect();
    for word in SECRET_WORDS {
        let names_place = PLACE_WORDS.contains(&word);
        let word: Vec<char> = word.chars().collect();
        let mut from = 0;
        while let Some(at) = find(&lower, from, &word) {
            from = at + word.len();
            let rest = lower[from..].iter().take_while(|c| is_key(**c)).count();
            let Some(equals) = next_non_blank(&lower, from + rest) else { continue };
            if lower[equals] != '=' {
                continue;
            }
            let Some(start) = next_non_blank(&lower, equals + 1) else { continue };
            if names_place && lower[start] == '{' {
                continue;
            }
            let end = value_end(&lower, start);
            line[start..end].fill('•');
        }
    }
}

fn is_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '"' | '\'' | '.')
}

fn next_non_blank(line: &[char], from: usize) -> Option<usize> {
    (from..line.len()).find(|i| !matches!(line[*i], ' ' | '\t'))
}

/// Where the value that starts there ends: behind its closing quote, or at the line's end.
fn value_end(line: &[char], start: usize) -> usize {
    let quote = line[start];
    if !matches!(quote, '"' | '\'') {
        return line.len();
    }
    (start + 1..line.len())
        .find(|i| line[*i] == quote && line[*i - 1] != '\\')
        .map_or(line.len(), |i| i + 1)
}

fn find(line: &[char], from: usize, what: &[char]) -> Option<usize> {
    (from..=line.len().checked_sub(what.len())?).find(|i| line[*i..].starts_with(what))
}
