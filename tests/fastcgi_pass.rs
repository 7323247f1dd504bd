//! `fastcgi_pass`: PHP-FPM and fcgiwrap behind it, and servers that answer what they should not.

mod failures;
mod fcgiwrap;
mod php;
