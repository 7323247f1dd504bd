//! The names of header fields that this program knows, as numbers.

/// Declares [`HeaderId`] from one list of variants and names.
macro_rules! header_ids {
    ($($variant:ident = $name:literal,)*) => {
        /// A field name that is known by number, so that it is compared once, when it arrives.
        ///
        /// Numbers are dense, start at 1 and may change between releases.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum HeaderId {
            /// Every name that is not in the list.
            Other = 0,
            $(
                #[doc = concat!("`", $name, "`.")]
                $variant,
            )*
        }

        impl HeaderId {
            /// All ids but [`HeaderId::Other`], in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
        }

        /// Names by number.
        const NAMES: [&str; HeaderId::ALL.len() + 1] = ["", $($name,)*];
    };
}

header_ids! {
    Accept = "Accept",
    AcceptCharset = "Accept-Charset",
    AcceptEncoding = "Accept-Encoding",
    AcceptLanguage = "Accept-Language",
    AcceptRanges = "Accept-Ranges",
    AccessControlAllowCredentials = "Access-Control-Allow-Credentials",
    AccessControlAllowHeaders = "Access-Control-Allow-Headers",
    AccessControlAllowMethods = "Access-Control-Allow-Methods",
    AccessControlAllowOrigin = "Access-Control-Allow-Origin",
    AccessControlExposeHeaders = "Access-Control-Expose-Headers",
    AccessControlMaxAge = "Access-Control-Max-Age",
    AccessControlRequestHeaders = "Access-Control-Request-Headers",
    AccessControlRequestMethod = "Access-Control-Request-Method",
    Age = "Age",
    Allow = "Allow",
    AltSvc = "Alt-Svc",
    Authorization = "Authorization",
    CacheControl = "Cache-Control",
    CdnLoop = "CDN-Loop",
    ClearSiteData = "Clear-Site-Data",
    Connection = "Connection",
    ContentDisposition = "Content-Disposition",
    ContentEncoding = "Content-Encoding",
    ContentLanguage = "Content-Language",
    ContentLength = "Content-Length",
    ContentLocation = "Content-Location",
    ContentRange = "Content-Range",
    ContentSecurityPolicy = "Content-Security-Policy",
    ContentType = "Content-Type",
    Cookie = "Cookie",
    CrossOriginEmbedderPolicy = "Cross-Origin-Embedder-Policy",
    CrossOriginOpenerPolicy = "Cross-Origin-Opener-Policy",
    CrossOriginResourcePolicy = "Cross-Origin-Resource-Policy",
    Date = "Date",
    Depth = "Depth",
    Destination = "Destination",
    Dnt = "DNT",
    EarlyData = "Early-Data",
    ETag = "ETag",
    Expect = "Expect",
    Expires = "Expires",
    Forwarded = "Forwarded",
    From = "From",
    Host = "Host",
    If = "If",
    IfMatch = "If-Match",
    IfModifiedSince = "If-Modified-Since",
    IfNoneMatch = "If-None-Match",
    IfRange = "If-Range",
    IfUnmodifiedSince = "If-Unmodified-Since",
    KeepAlive = "Keep-Alive",
    LastEventId = "Last-Event-ID",
    LastModified = "Last-Modified",
    Link = "Link",
    Location = "Location",
    LockToken = "Lock-Token",
    MaxForwards = "Max-Forwards",
    Origin = "Origin",
    Overwrite = "Overwrite",
    PermissionsPolicy = "Permissions-Policy",
    Pragma = "Pragma",
    Prefer = "Prefer",
    Priority = "Priority",
    Proxy = "Proxy",
    ProxyAuthenticate = "Proxy-Authenticate",
    ProxyAuthorization = "Proxy-Authorization",
    ProxyConnection = "Proxy-Connection",
    Range = "Range",
    Referer = "Referer",
    ReferrerPolicy = "Referrer-Policy",
    Refresh = "Refresh",
    RetryAfter = "Retry-After",
    SecChUa = "Sec-CH-UA",
    SecChUaMobile = "Sec-CH-UA-Mobile",
    SecChUaPlatform = "Sec-CH-UA-Platform",
    SecFetchDest = "Sec-Fetch-Dest",
    SecFetchMode = "Sec-Fetch-Mode",
    SecFetchSite = "Sec-Fetch-Site",
    SecFetchUser = "Sec-Fetch-User",
    SecGpc = "Sec-GPC",
    SecWebSocketAccept = "Sec-WebSocket-Accept",
    SecWebSocketExtensions = "Sec-WebSocket-Extensions",
    SecWebSocketKey = "Sec-WebSocket-Key",
    SecWebSocketProtocol = "Sec-WebSocket-Protocol",
    SecWebSocketVersion = "Sec-WebSocket-Version",
    Server = "Server",
    ServerTiming = "Server-Timing",
    SetCookie = "Set-Cookie",
    Status = "Status",
    StrictTransportSecurity = "Strict-Transport-Security",
    Te = "TE",
    Timeout = "Timeout",
    Traceparent = "traceparent",
    Tracestate = "tracestate",
    Trailer = "Trailer",
    TransferEncoding = "Transfer-Encoding",
    Upgrade = "Upgrade",
    UpgradeInsecureRequests = "Upgrade-Insecure-Requests",
    UserAgent = "User-Agent",
    Vary = "Vary",
    Via = "Via",
    WwwAuthenticate = "WWW-Authenticate",
    XAccelBuffering = "X-Accel-Buffering",
    XAccelCharset = "X-Accel-Charset",
    XAccelExpires = "X-Accel-Expires",
    XAccelLimitRate = "X-Accel-Limit-Rate",
    XAccelRedirect = "X-Accel-Redirect",
    XContentTypeOptions = "X-Content-Type-Options",
    XCsrfToken = "X-CSRFToken",
    XForwardedFor = "X-Forwarded-For",
    XForwardedHost = "X-Forwarded-Host",
    XForwardedPort = "X-Forwarded-Port",
    XForwardedProto = "X-Forwarded-Proto",
    XFrameOptions = "X-Frame-Options",
    XRealIp = "X-Real-IP",
    XRequestId = "X-Request-ID",
    XRequestedWith = "X-Requested-With",
    XSendfile = "X-Sendfile",
    XXssProtection = "X-XSS-Protection",
}

impl HeaderId {
    /// The id of `name`, in whatever case it is written; [`HeaderId::Other`] for a name not in the list.
    #[inline]
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        let id = TABLE[slot(name)];
        if is_same_name(NAMES[id as usize].as_bytes(), name) { id } else { Self::Other }
    }

    /// The name as it is usually written, such as `Content-Type`; empty for [`HeaderId::Other`].
    #[inline]
    #[must_use]
    pub const fn name(self) -> &'static str {
        NAMES[self as usize]
    }

    /// Whether the field is about this connection alone and never goes to another one.
    ///
    /// Fields that `Connection` names are hop-by-hop too; that is for the caller to look up.
    ///
    /// # Source
    ///
    /// RFC 9110 §7.6.1, with the fields that RFC 2616 §13.5.1 listed. `Proxy-Authenticate` and
    /// `Proxy-Authorization` are left out: they may concern a proxy further on.
    #[must_use]
    pub const fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::KeepAlive
                | Self::ProxyConnection
                | Self::Te
                | Self::Trailer
                | Self::TransferEncoding
                | Self::Upgrade
        )
    }

    /// The id's bit in a set of ids.
    #[inline]
    pub(crate) const fn bit(self) -> u128 {
        1 << self as u8
    }
}

const _: () = assert!(NAMES.len() <= 128, "a set of ids is one u128");

/// Ids by [`slot`] of their names. That no two names share a slot is checked while compiling.
static TABLE: [HeaderId; SLOTS] = table();

/// Slots of [`TABLE`], a power of two.
const SLOTS: usize = 1 << SLOT_BITS;
const SLOT_BITS: u32 = 10;

/// Spreads the names of the list over [`TABLE`] without collision; found by trying.
const MULTIPLIER: u64 = 0x3495_d62a_8ea3_2f2f;

/// The slot of a name: a hash of its length, its first and last four octets and the one in the middle.
#[inline]
const fn slot(name: &[u8]) -> usize {
    let (first, last) = match (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        (Some(first), Some(last)) => (u32::from_le_bytes(*first), u32::from_le_bytes(*last)),
        _ => match *name {
            [a, b, c] => (u32::from_le_bytes([a, b, c, 0]), 0),
            [a, b] => (u32::from_le_bytes([a, b, 0, 0]), 0),
            _ => (0, 0),
        },
    };
    // Setting bit 5 makes lower case of letters; what it does to other octets only moves them.
    let middle = if name.is_empty() { 0 } else { (name[name.len() / 2] | 0x20) as u64 };
    let folded = (((last as u64) << 32) | first as u64) | 0x2020_2020_2020_2020;
    let hash = folded.wrapping_add((name.len() as u64) << 16 | middle << 40).wrapping_mul(MULTIPLIER);
    (hash >> (u64::BITS - SLOT_BITS)) as usize
}

/// Whether `name` is `known`, in whatever case. Both are compared eight octets at a time.
#[inline]
fn is_same_name(known: &[u8], name: &[u8]) -> bool {
    if known.len() != name.len() {
        return false;
    }
    let (Some(known_last), Some(last)) = (known.last_chunk::<8>(), name.last_chunk::<8>()) else {
        return is_same_short_name(known, name);
    };
    let (known_words, _) = known.as_chunks::<8>();
    let (words, _) = name.as_chunks::<8>();
    known_words
        .iter()
        .zip(words)
        .all(|(known, word)| is_same_word(u64::from_le_bytes(*known), u64::from_le_bytes(*word)))
        && is_same_word(u64::from_le_bytes(*known_last), u64::from_le_bytes(*last))
}

/// [`is_same_name`] for names of less than eight octets.
#[inline]
fn is_same_short_name(known: &[u8], name: &[u8]) -> bool {
    let word = |text: &[u8]| match (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        (Some(first), Some(last)) => {
            Some(u64::from(u32::from_le_bytes(*last)) << 32 | u64::from(u32::from_le_bytes(*first)))
        }
        _ => None,
    };
    match (word(known), word(name)) {
        (Some(known), Some(word)) => is_same_word(known, word),
        _ => known.eq_ignore_ascii_case(name),
    }
}

/// Whether eight octets are those of `known`, which is ASCII, letters in either case.
#[inline]
const fn is_same_word(known: u64, word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let difference = known ^ word;
    if difference == 0 {
        return true;
    }
    // Adding to octets below 0x80 carries nothing over: bit 7 says "from a on" and "beyond z".
    let lower = known | (ONES * 0x20);
    let letters = (lower + ONES * (0x80 - b'a' as u64)) & !(lower + ONES * (0x7f - b'z' as u64)) & (ONES * 0x80);
    difference & !(letters >> 2) == 0
}

const fn table() -> [HeaderId; SLOTS] {
    let mut table = [HeaderId::Other; SLOTS];
    let mut at = 0;
    while at < HeaderId::ALL.len() {
        let id = HeaderId::ALL[at];
        let slot = slot(NAMES[id as usize].as_bytes());
        assert!(table[slot] as u8 == 0, "two names share a slot: choose another MULTIPLIER");
        table[slot] = id;
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case() {
        for &id in HeaderId::ALL {
            let name = id.name();
            assert_eq!(HeaderId::of(name.as_bytes()), id);
            assert_eq!(HeaderId::of(name.to_ascii_lowercase().as_bytes()), id);
            assert_eq!(HeaderId::of(name.to_ascii_uppercase().as_bytes()), id);
        }
    }

    #[test]
    fn only_the_case_of_letters_may_differ() {
        for &id in HeaderId::ALL {
            for place in 0..id.name().len() {
                for flipped in 1..=255_u8 {
                    let mut name = id.name().as_bytes().to_vec();
                    name[place] ^= flipped;
                    let expected = HeaderId::ALL.iter().find(|id| id.name().as_bytes().eq_ignore_ascii_case(&name));
                    assert_eq!(HeaderId::of(&name), expected.copied().unwrap_or(HeaderId::Other), "{name:?}");
                }
            }
        }
    }

    #[test]
    fn near_misses_are_other() {
        for name in ["", "H", "Hos", "Hosts", "Content_Length", "Content-Lengtj", "X-Foo", "Content\rLength"] {
            assert_eq!(HeaderId::of(name.as_bytes()), HeaderId::Other, "{name}");
        }
    }

    #[test]
    fn names_are_distinct() {
        let mut names: Vec<_> = HeaderId::ALL.iter().map(|id| id.name().to_ascii_lowercase()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), HeaderId::ALL.len());
    }
}
