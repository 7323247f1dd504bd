//! `split_clients`: a variable that divides requests into shares by a text of theirs.

use std::sync::Arc;

use daemun_conf::{ArgumentError, Arguments, Arity, Context, Directive};
use daemun_server::config::setter;
use daemun_server::module::nothing_to_finish;
use daemun_server::variable::declare_computed;
use daemun_server::{Module, Request};

/// Named once, in the program's list of modules.
pub static MODULE: Module<SplitClients> = Module {
    name: "split_clients",
    directives: &[Directive {
        name: "split_clients",
        contexts: Context::HTTP,
        arity: Arity::Block { min: 2, max: 2 },
        default: "none",
        help: "string $variable block of `percentage% value`: shares of the requests by a hash of the string; * is the rest",
        set: set_split_clients,
    }],
    merge: |_, _| {},
    finish: nothing_to_finish,
    is_active: |_| false,
    phases: &[],
    filters: &[],
    variables: &[],
};

/// Shares are no settings of a location: all of it is in the variable.
#[derive(Default)]
pub struct SplitClients;

/// A value and the hash below which it is taken; `None`: whatever is left.
struct Share {
    below: Option<u32>,
    value: Vec<u8>,
}

/// Hundredths of a per cent in the whole.
const WHOLE: u64 = 10_000;

fn set_split_clients(_: &mut SplitClients, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let source = setter::template(arguments, 0)?;
    let name = super::variable_name(arguments, 1)?;
    let mut shares = Vec::new();
    let mut sum = 0;
    for node in arguments.block().unwrap_or_default() {
        let key = node.name.text.as_str();
        let error = |message: String| {
            ArgumentError::new(None, message).with_hint(format!("the entry stands in line {}", node.name.span.line))
        };
        let [value] = node.args.as_slice() else {
            return Err(error("invalid number of the split_clients parameters".to_owned()));
        };
        let value = value.text.clone().into_bytes();
        let below = if key == "*" {
            None
        } else {
            let percent = hundredths(key).filter(|percent| *percent > 0);
            sum += percent.ok_or_else(|| error(format!("invalid percent value \"{key}\"")))?;
            if sum > WHOLE {
                return Err(error("percent total is greater than 100%".to_owned()));
            }
            Some(u32::try_from(sum * u64::from(u32::MAX) / WHOLE).unwrap_or(u32::MAX))
        };
        shares.push(Share { below, value });
    }
    let compute = Arc::new(move |request: &Request, out: &mut Vec<u8>| {
        let hash = murmur_hash2(&source.value(request));
        if let Some(share) = shares.iter().find(|share| share.below.is_none_or(|below| hash < below)) {
            out.extend_from_slice(&share.value);
        }
        true
    });
    declare_computed(name, compute, false).map(|_| ()).map_err(|error| ArgumentError::new(Some(1), error.to_string()))
}

/// `0.5%` is 50: a number with at most two digits behind the point.
fn hundredths(text: &str) -> Option<u64> {
    let number = text.strip_suffix('%')?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_number = |digits: &str| digits.bytes().all(|octet| octet.is_ascii_digit());
    if whole.is_empty() || fraction.len() > 2 || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let fraction: u64 = format!("{fraction:0<2}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(100)?.checked_add(fraction)
}

/// MurmurHash2 with the seed 0: the hash whose shares a site has with nginx.
fn murmur_hash2(data: &[u8]) -> u32 {
    const MULTIPLIER: u32 = 0x5bd1_e995;
    let mut hash = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut mixed = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(MULTIPLIER);
        mixed = (mixed ^ mixed >> 24).wrapping_mul(MULTIPLIER);
        hash = hash.wrapping_mul(MULTIPLIER) ^ mixed;
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (place, octet) in rest.iter().enumerate() {
            hash ^= u32::from(*octet) << (8 * place);
        }
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(MULTIPLIER);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_in_hundredths() {
        assert_eq!(hundredths("0.5%"), Some(50));
        assert_eq!(hundredths("51.2%"), Some(5120));
        assert_eq!(hundredths("100%"), Some(10_000));
        assert_eq!(hundredths("1.234%"), None);
        assert_eq!(hundredths("5"), None);
        assert_eq!(hundredths("x%"), None);
    }
}
