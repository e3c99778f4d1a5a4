# Reads what was there before the first change of each kind, as Set-Before kept it. Changes nothing.
#
# in:   {}
# out:  {"entries": {"feature VirtualMachinePlatform": "\"Disabled\"", "variable machine OLLAMA_HOST": "null"}}
#       entries: name -> JSON text
#
# https://learn.microsoft.com/dotnet/api/microsoft.win32.registrykey.getvaluenames
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$base = [Microsoft.Win32.RegistryKey]::OpenBaseKey('LocalMachine', 'Registry64')
$key = $base.OpenSubKey('SOFTWARE\vengeance\Before')
$entries = [ordered] @{}
if ($null -ne $key) {
    foreach ($name in $key.GetValueNames()) { $entries[[string] $name] = [string] $key.GetValue($name, '') }
}

$answer = [ordered] @{ entries = $entries }
ConvertTo-Json -InputObject $answer -Compress -Depth 3
