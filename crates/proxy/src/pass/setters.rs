//! Setters of the directives that every `..._pass` shares.

use std::sync::Arc;

use daemun_conf::{ArgumentError, Arguments};
use daemun_server::config::setter;
use daemun_server::fetch::IgnoredHeaders;

use super::{Bind, Condition, Conditions, PassSettings, Store};

type Set = Result<(), ArgumentError>;

/// Setters of one kind of argument for several fields.
macro_rules! simple_setters {
    ($kind:ident: $($(#[$doc:meta])* $name:ident => $field:ident,)+) => {
        $($(#[$doc])*
        ///
        /// # Errors
        /// For a wrong argument, and for a second one.
        pub fn $name(settings: &mut PassSettings, arguments: &mut Arguments<'_>) -> Set {
            let value = arguments.$kind(0)?;
            arguments.set_once(&mut settings.$field, value)
        })+
    };
}

simple_setters! { time:
    /// `..._connect_timeout`
    set_connect_timeout => connect_timeout,
    /// `..._send_timeout`
    set_send_timeout => send_timeout,
    /// `..._read_timeout`
    set_read_timeout => read_timeout,
    /// `..._next_upstream_timeout`
    set_next_upstream_timeout => next_upstream_timeout,
}

simple_setters! { size:
    /// `..._buffer_size`
    set_buffer_size => buffer_size,
    /// `..._busy_buffers_size`
    set_busy_buffers_size => busy_buffers_size,
    /// `..._max_temp_file_size`
    set_max_temp_file_size => max_temp_file_size,
    /// `..._temp_file_write_size`
    set_temp_file_write_size => temp_file_write_size,
    /// `..._send_lowat`
    set_send_lowat => send_lowat,
    /// `..._socket_rcvbuf`
    set_socket_rcvbuf => socket_rcvbuf,
    /// `..._socket_sndbuf`
    set_socket_sndbuf => socket_sndbuf,
}

simple_setters! { flag:
    /// `..._buffering`
    set_buffering => buffering,
    /// `..._request_buffering`
    set_request_buffering => request_buffering,
    /// `..._ignore_client_abort`
    set_ignore_client_abort => ignore_client_abort,
    /// `..._intercept_errors`
    set_intercept_errors => intercept_errors,
    /// `..._pass_request_headers`
    set_pass_request_headers => pass_request_headers,
    /// `..._pass_request_body`
    set_pass_request_body => pass_request_body,
    /// `..._pass_trailers`
    set_pass_trailers => pass_trailers,
    /// `..._force_ranges`
    set_force_ranges => force_ranges,
    /// `..._socket_keepalive`
    set_socket_keepalive => socket_keepalive,
}

/// `..._next_upstream_tries`
///
/// # Errors
/// For a wrong argument, and for a second one.
pub fn set_next_upstream_tries(settings: &mut PassSettings, arguments: &mut Arguments<'_>) -> Set {
    let number = arguments.number(0, 0..=u64::from(u32::MAX))?;
    arguments.set_once(&mut settings.next_upstream_tries, number)
}

/// `..._buffers`
///
/// # Errors
/// For a wrong argument, and for a second one.
pub fn set_buffers(settings: &mut PassSettings, arguments: &mut Arguments<'_>) -> Set {
    let number = arguments.number(0, 1..=u64::from(u32::MAX))?;
    let size = arguments.size(1)?;
    if size == 0 {
        return Err(arguments.invalid_value(1));
    }
    arguments.set_once(&mut settings.buffers, (number, size))
}

/// `..._next_upstream`
///
/// # Errors
/// For a word that is none of nginx's.
pub fn set_next_upstream(settings: &mut PassSettings, arguments: &mut Arguments<'_>) -> Set {
    add_conditions(settings, arguments, Condition::WORDS)
}

/// `memcached_next_upstream`
///
/// # Errors
/// For a word that is none of nginx's.
pub fn set_memcached_next_upstream(settings: &mut PassSettings, arguments: &mut Arguments<'_>) -> Set {
    add_conditions(settings, arguments, Condition::MEMCACHED_WORDS)
}

/// `tunnel_next_upstream`
///
/// # Errors
/// For a word that is none of nginx's.
pub fn set_tunnel_next_upstream(settings: &mut PassSettings, arguments: &mut Arguments<'_>) -> Set {
    add_conditions(settings, arguments, Condition::TUNNEL_WORDS)
}

fn add_conditions(
    settings: &mut PassSettings,
    arguments: &mut Arguments<'_>,
    words: &'static [(&'static str, Condition)],
) -> Set {
    let mut conditions = settings.next_upstream.unwrap_or(Conditions::NONE);
    for position in 0..arguments.len() {
        conditions = conditions.with(arguments.choice(position, words)?);
    }
    settings.next_upstream = Some(conditions);
    Ok(())
}

/// `..._limit_rate`
///
/// # Errors
/// For what is no size, and for a second one.
pub fn set_limit_rate(settings: &mut PassSettings, arguments: &mut Arguments<'_>) -> Set {
    let template = setter::template(arguments, 0)?;
    if template.as_constant().is_some() {
        arguments.size(0)?;
    }
    arguments.set_once(&mut settings.limit_rate, template)
}

/// `..._bind`
///
/// # Errors
/// For what is no address, and for a second one.
pub fn set_bind(settings: &mut PassSettings, arguments: &mut Arguments<'_>) -> Set {
    if arguments.len() == 1 && arguments.text(0)? == "off" {
        return arguments.set_once(&mut settings.bind, Bind::Off);
    }
    let is_transparent = arguments.len() == 2;
    if is_transparent && arguments.text(1)? != "transparent" {
        return Err(arguments.invalid_parameter(1));
    }
    let address = setter::template(arguments, 0)?;
    if let Some(text) = address.as_constant()
        && crate::exchange::connect::parse_bind(text).is_none()
    {
        let text = arguments.text(0)?;
        return Err(ArgumentError::new(Some(0), format!("invalid address \"{text}\"")));
    }
    arguments.set_once(&mut settings.bind, Bind::Address { address, is_transparent })
}

/// `..._hide_header`
///
/// # Errors
/// None.
pub fn set_hide_header(settings: &mut PassSettings, arguments: &mut Arguments<'_>) -> Set {
    push_name(&mut settings.hide_headers, arguments)
}

/// `..._pass_header`
///
/// # Errors
/// None.
pub fn set_pass_header(settings: &mut PassSettings, arguments: &mut Arguments<'_>) -> Set {
    push_name(&mut settings.pass_headers, arguments)
}

fn push_name(names: &mut Option<Arc<Vec<Box<[u8]>>>>, arguments: &Arguments<'_>) -> Set {
    let name = arguments.text(0)?.as_bytes().into();
    Arc::make_mut(names.get_or_insert_default()).push(name);
    Ok(())
}

/// `..._ignore_headers`
///
/// # Errors
/// For a field that cannot be ignored.
pub fn set_ignore_headers(settings: &mut PassSettings, arguments: &mut Arguments<'_>) -> Set {
    let ignored = settings.ignore_headers.get_or_insert_default();
    for position in 0..arguments.len() {
        *arguments.choice(position, IGNORABLE)?(ignored) = true;
    }
    Ok(())
}

/// The flag of a field.
type Flag = for<'a> fn(&'a mut IgnoredHeaders) -> &'a mut bool;

const IGNORABLE: &[(&str, Flag)] = &[
    ("X-Accel-Redirect", |ignored| &mut ignored.redirect),
    ("X-Accel-Expires", |ignored| &mut ignored.accel_expires),
    ("X-Accel-Limit-Rate", |ignored| &mut ignored.limit_rate),
    ("X-Accel-Buffering", |ignored| &mut ignored.buffering),
    ("X-Accel-Charset", |ignored| &mut ignored.charset),
    ("Expires", |ignored| &mut ignored.expires),
    ("Cache-Control", |ignored| &mut ignored.cache_control),
    ("Set-Cookie", |ignored| &mut ignored.set_cookie),
    ("Vary", |ignored| &mut ignored.vary),
];

/// `..._temp_path`; the levels of folders are read and have no meaning, since the files have no names.
///
/// # Errors
/// For levels that are none, and for a second one.
pub fn set_temp_path(settings: &mut PassSettings, arguments: &mut Arguments<'_>) -> Set {
    for position in 1..arguments.len() {
        arguments.number(position, 1..=3).map_err(|_| arguments.invalid_value(position))?;
    }
    let path = arguments.path(0)?.into();
    arguments.set_once(&mut settings.temp_path, path)
}

/// `..._store`
///
/// # Errors
/// For an unknown variable, and for a second one.
pub fn set_store(settings: &mut PassSettings, arguments: &mut Arguments<'_>) -> Set {
    let store = match arguments.text(0)? {
        "off" => Store::Off,
        "on" => Store::On,
        "" => return Err(ArgumentError::new(Some(0), "empty path")),
        _ => Store::Path(setter::template(arguments, 0)?),
    };
    arguments.set_once(&mut settings.store, store)
}

/// `..._store_access`
///
/// # Errors
/// For what is no permission, and for a second one.
pub fn set_store_access(settings: &mut PassSettings, arguments: &mut Arguments<'_>) -> Set {
    let mut access = 0;
    let mut of_user = 0o600;
    for position in 0..arguments.len() {
        let text = arguments.text(position)?;
        let (shift, rights) = if let Some(rights) = text.strip_prefix("user:") {
            of_user = 0;
            (6, rights)
        } else if let Some(rights) = text.strip_prefix("group:") {
            (3, rights)
        } else if let Some(rights) = text.strip_prefix("all:") {
            (0, rights)
        } else {
            return Err(arguments.invalid_value(position));
        };
        access |= match rights {
            "rw" => 6,
            "r" => 4,
            _ => return Err(arguments.invalid_value(position)),
        } << shift;
    }
    arguments.set_once(&mut settings.store_access, access | of_user)
}
