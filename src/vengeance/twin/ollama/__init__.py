"""Ollama on the twin's Windows: its server over real HTTP, its tray app, its installer, and the models it can fetch.

No model computes anything here. Sizes, memory and durations are those that the real models would have on the real
card; the files behind them hold a few bytes, and answers are made of fixed words.
"""
