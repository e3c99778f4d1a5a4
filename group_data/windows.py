"""Settings of the Windows side, for the hosts in the group `windows`."""

# The lowest build number of Windows that will do. Default 22000, the first Windows 11.
windows_build = 22000

# Environment variables for everybody on the box, name -> value (text). Programs take them at their next start.
#
# OLLAMA_HOST           address and port that Ollama listens on. 0.0.0.0 is every address of the box, so that other
#                       machines of the tailnet reach it. Ollama's own default is 127.0.0.1:11434. Never write
#                       http:// without a port: Ollama then takes port 80.
ollama_machine_variables = {
    "OLLAMA_HOST": "0.0.0.0:11434",
}

# Environment variables of the Windows user that Ollama runs as, which is the one that deploys sign in as.
# A variable that stands here and above is taken from here.
#
# OLLAMA_KEEP_ALIVE     how long a model stays in VRAM after its last request: 5m, 30s, 0 (leave at once), -1 (stay).
#                       5m, Ollama's own default, gives the card back to games and ComfyUI.
ollama_user_variables = {
    "OLLAMA_KEEP_ALIVE": "5m",
}
