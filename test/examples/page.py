#!/usr/bin/env python3
"""Runs the commands that a page shows, and looks whether they say what it says they do.

    page.py PAGE BUILD [--update]

A ```console block has commands, each after `$ `, with further lines after `> `, and below each what it prints. All run
in one shell, in the directory above BUILD's, with an empty home of their own; build/release in the page stands for
BUILD. Numbers, dates, commits and hashes may be others. With --update the page is given what was printed: look at it.
"""
import os
import re
import subprocess
import sys
import tempfile
import time

MARK = "--- that was it, and its exit code: "


def blocks(text):
    """The console blocks: where each begins and ends, and its commands with what they are to print."""
    for block in re.finditer(r"(?m)^```console\n(.*?)^```$", text, re.DOTALL):
        commands = []
        for line in block[1].splitlines():
            if line.startswith("$ "):
                commands.append([line[2:], []])
            elif line.startswith("> ") and not commands[-1][1]:
                commands[-1][0] += "\n" + line[2:]
            else:
                commands[-1][1].append(line)
        yield block.start(1), block.end(1), commands


def masked(lines):
    text = "\n".join(lines)
    text = re.sub(r"\b(?=[0-9a-f]*[0-9])[0-9a-f]{12,}\b|\bunknown\b", "H", text)
    text = text.replace(", with changes", "")
    text = re.sub(r"\b\d+(\.\d+)? (ns|us|ms|s)\b", "T", text)
    return re.sub(r"\d+", "0", re.sub(r" +", " ", text))


class Shell:
    def __init__(self, build, home):
        self.build = build
        environment = {"HOME": home, "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TMPDIR": home}
        root = os.path.dirname(os.path.dirname(build))
        self.bash = subprocess.Popen(["bash"], cwd=root, env=environment, text=True, stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def run(self, command):
        command = command.replace("build/release", self.build)
        self.bash.stdin.write(f"{command}\nprintf '\\n{MARK}%s\\n' $?\n")
        self.bash.stdin.flush()
        lines = []
        for line in self.bash.stdout:
            line = line.rstrip("\n")
            if line.startswith(MARK):
                break
            lines.append(line)
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def run_until(self, command, expected, home):
        """What it prints. A question is asked again for a while: a node that is busy may not be so far yet."""
        give_up = time.monotonic() + 10
        while True:
            printed = [line.replace(home, "/home/fox") for line in self.run(command)]
            question = expected and re.search(r"\.(status|list)\(", command)
            if masked(printed) == masked(expected) or not question or time.monotonic() > give_up:
                return printed
            time.sleep(0.1)


def shown(commands):
    lines = []
    for command, output in commands:
        lines.append("$ " + command.replace("\n", "\n> "))
        lines += output
    return "\n".join(lines) + "\n"


def main():
    page, build = sys.argv[1], os.path.abspath(sys.argv[2])
    with open(page, encoding="utf-8") as file:
        text = file.read()
    wrong = 0
    new = ""
    done = 0
    with tempfile.TemporaryDirectory() as home:
        shell = Shell(build, home)
        for begin, end, commands in blocks(text):
            for entry in commands:
                printed = shell.run_until(entry[0], entry[1], home)
                if masked(printed) != masked(entry[1]):
                    wrong += 1
                    print(f"$ {entry[0]}\nis to print\n", *entry[1], "but prints\n", *printed, sep="\n  ")
                    entry[1] = printed
            new += text[done:begin] + shown(commands)
            done = end
        # Something has gone wrong if it is still there.
        shell.run("[ ! -e ~/fox.pid ] || kill $(cat ~/fox.pid); while [ -e ~/fox.pid ]; do sleep 0.1; done")
        shell.bash.stdin.close()
        shell.bash.wait()
    if sys.argv[3:] == ["--update"]:
        with open(page, "w", encoding="utf-8") as file:
            file.write(new + text[done:])
        return
    sys.exit(1 if wrong else 0)


main()
