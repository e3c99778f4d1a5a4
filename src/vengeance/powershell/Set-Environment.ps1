# Sets and removes environment variables of the machine or of the account that this script runs as.
#
# in:   {"level": "machine", "variables": {"OLLAMA_HOST": "0.0.0.0:11434", "OLLAMA_DEBUG": null}}     null: removed
# out:  {"changed": true, "before": {"OLLAMA_HOST": null, "OLLAMA_DEBUG": "1"},
#        "after": {"OLLAMA_HOST": "0.0.0.0:11434", "OLLAMA_DEBUG": null}, "reboot_required": false}
#
# before and after are read from the registry, unexpanded. Processes that run keep the environment they were started with;
# SetEnvironmentVariable broadcasts WM_SETTINGCHANGE, and the programs of this session that listen take the new one. It
# removes a variable whose value is empty, so an empty value cannot be set. It writes REG_SZ always, so a variable that is
# REG_EXPAND_SZ is written by itself, with its kind kept.
# https://learn.microsoft.com/dotnet/api/system.environment.setenvironmentvariable (three arguments)
# https://learn.microsoft.com/dotnet/api/microsoft.win32.registrykey.setvalue
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
if ($wanted.level -eq 'machine') {
    $target = [EnvironmentVariableTarget]::Machine
    $hive = 'LocalMachine'
    $path = 'SYSTEM\CurrentControlSet\Control\Session Manager\Environment'
}
elseif ($wanted.level -eq 'user') {
    $target = [EnvironmentVariableTarget]::User
    $hive = 'CurrentUser'
    $path = 'Environment'
}
else { throw "The level of an environment variable is machine or user, not '$($wanted.level)'." }
$base = [Microsoft.Win32.RegistryKey]::OpenBaseKey($hive, 'Registry64')

function Get-Raw([string] $name) {
    $key = $base.OpenSubKey($path)
    if ($null -eq $key) { return $null }
    $found = $key.GetValue($name, $null, 'DoNotExpandEnvironmentNames')
    if ($null -eq $found) { return $null }
    return [string] $found
}

function Test-Expandable([string] $name) {
    $key = $base.OpenSubKey($path)
    if ($null -eq $key -or $null -eq $key.GetValue($name, $null)) { return $false }
    return $key.GetValueKind($name).ToString() -eq 'ExpandString'
}

$changed = $false
$before = [ordered] @{}
$after = [ordered] @{}
foreach ($variable in $wanted.variables.PSObject.Properties) {
    $name = $variable.Name
    $value = $variable.Value
    if ($null -ne $value -and [string] $value -eq '') {
        throw "Windows cannot hold $name with an empty value: give null to remove it."
    }
    $old = Get-Raw $name
    $before[$name] = $old
    $same = $null -eq $old -and $null -eq $value
    # -ceq would overlook characters without a width.
    if ($null -ne $old -and $null -ne $value) { $same = [string]::Equals($old, [string] $value, [StringComparison]::Ordinal) }
    if (-not $same) {
        if ($null -ne $value -and (Test-Expandable $name)) {
            $writable = $base.OpenSubKey($path, $true)
            $writable.SetValue($name, [string] $value, 'ExpandString')
            $writable.Dispose()
            # Only for its broadcast: no variable has this name.
            [Environment]::SetEnvironmentVariable('VENGEANCE_NO_VARIABLE', $null, [EnvironmentVariableTarget]::User)
        }
        else { [Environment]::SetEnvironmentVariable($name, $value, $target) }
        $changed = $true
    }
    $after[$name] = Get-Raw $name
}

$answer = [ordered] @{ changed = $changed; before = $before; after = $after; reboot_required = $false }
ConvertTo-Json -InputObject $answer -Compress -Depth 3
