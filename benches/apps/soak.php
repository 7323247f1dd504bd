<?php
// The request's number and the length of its body, then more of it.
header("Content-Type: text/plain");
usleep(random_int(0, 2) * 5000);
echo $_GET["id"], " ", strlen(file_get_contents("php://input")), "\n", str_repeat("p", random_int(0, 1) * 40000);
