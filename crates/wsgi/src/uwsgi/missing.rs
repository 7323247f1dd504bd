//! Functions of uWSGI's that daemun does not have: each is there, and says so when it is called.

use pyo3::exceptions::PyNotImplementedError;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyModule, PyTuple};

/// Adds them.
///
/// # Errors
///
/// `MemoryError`
pub fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    for (names, instead) in MISSING {
        for name in names.split_whitespace() {
            let message = format!("uwsgi.{name}() is not supported by daemun: {instead}");
            let refuse = move |_: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| -> PyResult<()> {
                Err(PyNotImplementedError::new_err(message.clone()))
            };
            module.add(name, PyCFunction::new_closure(module.py(), None, None, refuse)?)?;
        }
    }
    Ok(())
}

/// Names, and what to do instead.
const MISSING: &[(&str, &str)] = &[
    (
        "sharedarea_read sharedarea_write sharedarea_readbyte sharedarea_writebyte sharedarea_read8 sharedarea_write8 \
         sharedarea_readlong sharedarea_writelong sharedarea_read64 sharedarea_write64 sharedarea_read32 \
         sharedarea_write32 sharedarea_read16 sharedarea_write16 sharedarea_inclong sharedarea_inc64 sharedarea_inc32 \
         sharedarea_dec64 sharedarea_dec32 sharedarea_rlock sharedarea_wlock sharedarea_unlock sharedarea_memoryview \
         sharedarea_object",
        "a cache (cache2, uwsgi.cache_set) or multiprocessing.shared_memory holds what workers share",
    ),
    ("register_rpc rpc rpc_list call", "call the other server by HTTP"),
    (
        "async_sleep async_connect green_schedule suspend wait_fd_read wait_fd_write ready_fd connect send recv close \
         request_context",
        "there is no asynchronous mode and the client's connection belongs to the edge; run several threads instead",
    ),
    ("chunked_read_nb", "read wsgi.input, or call chunked_read(), which waits"),
    ("offload", "answers never hold a worker: the edge sends them"),
    ("route add_var", "rewrite requests in nginx.conf"),
    ("alarm", "write to the log by uwsgi.log() and watch it there"),
    ("i_am_the_lord lord_scroll scrolls", "there are no legions"),
    ("embedded_data extract", "read the file"),
    ("set_warning_message", "uwsgi.log() writes to the log"),
    (
        "queue_get queue_set queue_last queue_push queue_pull queue_pop queue_slot queue_pull_slot",
        "spool tasks (uwsgi.spool), or send messages to mules (uwsgi.mule_msg)",
    ),
    (
        "metric_inc metric_dec metric_mul metric_div metric_get metric_set metric_set_max metric_set_min",
        "count in a cache: uwsgi.cache_inc()",
    ),
    (
        "snmp_set_counter32 snmp_set_counter64 snmp_set_gauge snmp_incr_counter32 snmp_incr_counter64 snmp_incr_gauge \
         snmp_decr_counter32 snmp_decr_counter64 snmp_decr_gauge snmp_set_community",
        "there is no SNMP",
    ),
    ("erlang_register_process erlang_connect erlang_recv_message", "there is no Erlang"),
];
