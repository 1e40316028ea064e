"""Measure the generation of modules, stage by stage: of one shipped spec, and of all of them.

    python -m benchmarks.generation [--json FILE] [--text FILE]

Every run is a process of its own on one core, timed from its start to its end, in an empty folder.
Nothing that the compiler or SymPy remembers outlives a process, and nothing is remembered on disk.
Python's bytecode is compiled and the files have been read before. The command is timed as users run
it, and once more with a clock at every stage, which reads the time where a stage begins and ends.
What a stage imports while it runs is charged to the stage, and counted.
"""
