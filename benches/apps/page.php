<?php
// A page of 1 KB.
header("Content-Type: text/plain");
echo str_repeat("x", 1023), "\n";
