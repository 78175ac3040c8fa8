"""What a sign-up costs on top of Kratos: measured, and written into the documents.

Not shipped. `python -m bench` lists the benchmarks; docs/performance.md says how to
read what they find.
"""
