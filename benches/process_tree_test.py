"""Tests of reading /proc."""
import os
import subprocess
import sys
import unittest

from process_tree import cpu_seconds, members, memory, parse_stat, runs_python


class ProcessTreeTest(unittest.TestCase):
    """On text and on a real process with a child."""

    def test_names_may_hold_anything(self):
        line = "42 (a) b (c) S 7 42 40 0 -1 4194560 1 2 3 4 100 50 25 25 20 0 1"
        process = parse_stat(line)
        self.assertEqual((process.pid, process.parent, process.session), (42, 7, 40))
        self.assertEqual(process.cpu_seconds, 200 / os.sysconf("SC_CLK_TCK"))

    def test_a_tree_has_its_children_and_their_time(self):
        spin = "import time\nend = time.process_time() + .2\nwhile time.process_time() < end: pass\nprint(flush=True)\ninput()"
        child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {spin!r}])"
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen([sys.executable, "-c", child], start_new_session=True, **pipes) as parent:
            parent.stdout.readline()
            self.assertEqual(len(members([parent.pid])), 2)
            self.assertGreaterEqual(cpu_seconds([parent.pid]), 0.18)
            self.assertTrue(runs_python(parent.pid))
            self.assertGreater(memory(parent.pid).rss_kb, 1000)
            parent.communicate(b"\n", timeout=10)


if __name__ == "__main__":
    unittest.main()
