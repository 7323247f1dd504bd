//! What the options say of locks, caches, mules and spoolers, which applications reach by the `uwsgi` module.

use std::path::PathBuf;

use daemun_channel::facilities::{Cache, Facilities, Farm};
use daemun_conf::Diagnostic;

use crate::limits::{CACHE_BYTES_MAX, CACHE_ITEMS_MAX, MULES_MAX};
use crate::options::known::known;
use crate::options::pool::PoolOptions;
use crate::options::setting::{Setting, Value};

/// What a setter gives.
type Done = Result<(), Diagnostic>;

/// `uwsgi.opt`: every setting, flags without a value.
pub(super) fn tell_settings(pool: &mut PoolOptions, settings: &[Setting]) {
    let mut told: Vec<(String, Option<String>)> = Vec::new();
    for setting in settings {
        let (name, value) = (&setting.key.text, setting.value.as_ref().map(|value| value.text.clone()));
        let is_option = known(name).is_some();
        // A name of the file's own has one value, the last one; it is nothing that is switched on.
        match told.iter_mut().find(|(other, _)| other == name).filter(|_| !is_option) {
            Some((_, before)) => *before = Some(value.unwrap_or_default()),
            None => told.push((name.clone(), if is_option { value } else { Some(value.unwrap_or_default()) })),
        }
    }
    pool.facilities.options = told;
    pool.facilities.buffer_size = pool.buffer_size.unwrap_or(pool.facilities.buffer_size);
    pool.facilities.pidfile = pool.pidfile.as_ref().map(|path| path.to_string_lossy().into_owned());
}

/// Farms name mules, which may stand behind them: looked at when everything is known.
pub(super) fn check(pool: &PoolOptions) -> Option<String> {
    let mules = u32::try_from(pool.facilities.mules.len()).unwrap_or(u32::MAX);
    let farms = pool.facilities.farms.iter();
    farms.flat_map(|farm| farm.mules.iter().map(move |mule| (farm, *mule))).find_map(|(farm, mule)| {
        let is_there = (1..=mules).contains(&mule);
        (!is_there).then(|| format!("farm \"{}\" has mule {mule}, and there are {mules} mules", farm.name))
    })
}

/// `cache = 100`: the cache that is meant where no name is given.
pub(super) fn cache(pool: &mut PoolOptions, value: &mut Value<'_>) -> Done {
    let items = value.number(1..=CACHE_ITEMS_MAX)?;
    let cache = default_cache(&mut pool.facilities);
    (cache.items, cache.blocks) = (items, items);
    Ok(())
}

/// `cache-blocksize` and what else is said of that cache alone.
pub(super) fn default_cache(facilities: &mut Facilities) -> &mut Cache {
    let place = facilities.caches.iter().position(|cache| cache.name == "default").unwrap_or_else(|| {
        facilities.caches.insert(0, Cache::default());
        0
    });
    &mut facilities.caches[place]
}

/// `cache2 = name=sessions,items=1000,...`
pub(super) fn named_cache(pool: &mut PoolOptions, value: &mut Value<'_>) -> Done {
    let mut cache = Cache { name: String::new(), ..Cache::default() };
    let text = value.text();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (key, setting) = part.split_once('=').unwrap_or((part, ""));
        cache_part(&mut cache, key.trim(), setting.trim(), value)?;
    }
    if cache.name.is_empty() {
        return Err(value.invalid("a cache needs a name: name=NAME"));
    }
    if cache.items == 0 {
        return Err(value.invalid("a cache needs a number of items: items=NUMBER"));
    }
    cache.blocks = if cache.blocks == 0 { cache.items } else { cache.blocks };
    if cache.blocks < cache.items {
        return Err(value.invalid("there must be as many blocks as items, or more"));
    }
    let octets = cache.blocks.checked_mul(cache.block_bytes).filter(|octets| *octets <= CACHE_BYTES_MAX);
    if octets.is_none() {
        return Err(value.invalid("blocks times blocksize is more than a cache may have"));
    }
    if pool.facilities.caches.iter().any(|other| other.name == cache.name) {
        return Err(value.invalid("there is a cache of this name already"));
    }
    pool.facilities.caches.push(cache);
    Ok(())
}

fn cache_part(cache: &mut Cache, key: &str, text: &str, value: &mut Value<'_>) -> Done {
    let number = |range: std::ops::RangeInclusive<u64>| match text.parse::<u64>() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(value.invalid(format!("{key} must be a number from {} to {}", range.start(), range.end()))),
    };
    match key {
        "name" => text.clone_into(&mut cache.name),
        "items" | "max_items" | "maxitems" => cache.items = number(1..=CACHE_ITEMS_MAX)?,
        "blocksize" => cache.block_bytes = number(1..=CACHE_BYTES_MAX)?,
        "blocks" => cache.blocks = number(1..=CACHE_ITEMS_MAX)?,
        "keysize" | "key_size" => cache.key_bytes = number(1..=65_534)?,
        "math_initial" => {
            cache.math_initial = text.parse().map_err(|_| value.invalid("math_initial must be a number"))?;
        }
        "store" => cache.store = Some(PathBuf::from(text)),
        "store_delete" | "storedelete" => cache.deletes_store = true,
        "bitmap" => cache.is_bitmap = true,
        "purge_lru" | "lru" => cache.purges_oldest = true,
        "clear_on_full" => cache.clears_on_full = true,
        "ignore_full" => cache.ignores_full = true,
        "no_expire" => cache.never_expires = true,
        // How items are found and when they are swept is the cache's own affair; the system writes the file.
        "hash" | "hashsize" | "hash_size" | "lazy_expire" | "lazy" | "sweep_on_full" | "store_sync" | "storesync"
        | "lastmod" => {}
        "nodes" | "node" | "sync" | "udp" | "udp_servers" | "udp_server" | "udpservers" | "udpserver" => {
            value.not_yet(&format!("{key} of a cache"));
        }
        _ => value.warn(format!("a cache knows no \"{key}\"")),
    }
    Ok(())
}

/// `mule`, `mule = script.py`, `mule = module:function`: one more mule.
pub(super) fn mule(pool: &mut PoolOptions, value: &mut Value<'_>) -> Done {
    let text = value.text();
    // Anything else is what switches it on without saying what to run.
    let program = (text.ends_with(".py") || text.contains(':')).then(|| text.to_owned());
    add_mules(pool, value, std::iter::once(program))
}

/// `mules = 4`: so many that wait for messages.
pub(super) fn mules(pool: &mut PoolOptions, value: &mut Value<'_>) -> Done {
    let number = usize::from(u16::try_from(value.number(0..=MULES_MAX as u64)?).unwrap_or(u16::MAX));
    add_mules(pool, value, std::iter::repeat_n(None, number))
}

fn add_mules(pool: &mut PoolOptions, value: &Value<'_>, mules: impl Iterator<Item = Option<String>>) -> Done {
    pool.facilities.mules.extend(mules);
    if pool.facilities.mules.len() > MULES_MAX {
        return Err(value.invalid(format!("there may be {MULES_MAX} mules")));
    }
    Ok(())
}

/// `farm = name:1,2`
pub(super) fn farm(pool: &mut PoolOptions, value: &mut Value<'_>) -> Done {
    let wrong = || value.invalid("it must be NAME:MULE[,MULE...]");
    let (name, numbers) = value.text().split_once(':').ok_or_else(wrong)?;
    let numbers: Result<Vec<u32>, _> = numbers.split(',').map(|number| number.trim().parse()).collect();
    let mules = numbers.ok().filter(|_| !name.is_empty()).ok_or_else(wrong)?;
    pool.facilities.farms.push(Farm { name: name.to_owned(), mules });
    Ok(())
}

/// `spooler = folder`
pub(super) fn spooler(pool: &mut PoolOptions, value: &mut Value<'_>) -> Done {
    let path = value.path();
    if !pool.facilities.spoolers.contains(&path) {
        pool.facilities.spoolers.push(path);
    }
    Ok(())
}
