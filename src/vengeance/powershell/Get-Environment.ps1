# Reads environment variables as the registry holds them, not as this process got them. Changes nothing.
#
# in:   {"names": ["OLLAMA_HOST"]}          null: all of them; names ignore case
# out:  {"machine": {"OLLAMA_HOST": {"value": "0.0.0.0:11434", "kind": "String"}}, "user": {}}
#
# user is the account that this script runs as. Values are not expanded: %SystemRoot% stays. A variable that is absent at a
# level is absent there. Values that are neither REG_SZ nor REG_EXPAND_SZ are no environment variables and are left out.
# https://learn.microsoft.com/windows/win32/procthread/environment-variables
# https://learn.microsoft.com/dotnet/api/microsoft.win32.registryvalueoptions
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

function Get-Variables($hive, [string] $path, $names) {
    $found = [ordered] @{}
    $base = [Microsoft.Win32.RegistryKey]::OpenBaseKey($hive, 'Registry64')
    $key = $base.OpenSubKey($path)
    if ($null -eq $key) { return $found }
    foreach ($name in $key.GetValueNames()) {
        if ($name -eq '') { continue }
        if ($null -ne $names -and $names -notcontains $name) { continue }
        $kind = $key.GetValueKind($name).ToString()
        if ($kind -ne 'String' -and $kind -ne 'ExpandString') { continue }
        $value = [string] $key.GetValue($name, '', 'DoNotExpandEnvironmentNames')
        $found[$name] = [ordered] @{ value = $value; kind = $kind }
    }
    return $found
}

$wanted = ConvertFrom-Json -InputObject $InputJson
$names = $null
if ($null -ne $wanted.names) { $names = @($wanted.names) }

$answer = [ordered] @{
    machine = Get-Variables 'LocalMachine' 'SYSTEM\CurrentControlSet\Control\Session Manager\Environment' $names
    user = Get-Variables 'CurrentUser' 'Environment' $names
}
ConvertTo-Json -InputObject $answer -Compress -Depth 4
