# The fallback without an agent: one process a command. Run as -EncodedCommand; stdin is lines of base64 (UTF-8), the script,
# its options as JSON {"parameters", "stdin", "cwd", "env"} and, if there is one, what it gets as -Secret, then ends, so
# children find an empty stdin.
# powershell.exe hands the lines of a redirected stdin to the script as $input (about_PowerShell_exe,
# about_Automatic_Variables); Ansible's bootstrap over WinRM has relied on it for years.
$ProgressPreference = 'SilentlyContinue'
$lines = @($input)
$utf8 = [System.Text.Encoding]::UTF8
$block = [ScriptBlock]::Create($utf8.GetString([Convert]::FromBase64String($lines[0])))
$options = ConvertFrom-Json -InputObject $utf8.GetString([Convert]::FromBase64String($lines[1]))
$arguments = @{}
if ($null -ne $options.parameters) { $arguments['InputJson'] = [string] $options.parameters }
if ($lines.Count -gt 2) { $arguments['Secret'] = $utf8.GetString([Convert]::FromBase64String($lines[2])) }
if ($options.env) {
    foreach ($pair in $options.env.PSObject.Properties) {
        [Environment]::SetEnvironmentVariable($pair.Name, [string] $pair.Value)
    }
}
$failed = $false
# Objects in a row are formatted together: see agent.ps1.
$objects = [System.Collections.ArrayList]::new()
function Write-Objects {
    if ($objects.Count -eq 0) { return }
    $row = $objects.ToArray()
    $objects.Clear()
    [Console]::Out.Write((($row | Out-String -Width 4096) -replace ' +(?=\r?\n)', ''))
}
try {
    if ($options.cwd) { Set-Location -LiteralPath ([string] $options.cwd) -ErrorAction Stop }
    $given = @()
    if ($options.stdin) { $given = ([string] $options.stdin) -replace "`r?`n\z", '' -split "`r?`n" }
    # Error records are taken apart from the output here, or powershell.exe would write them to stderr as CLIXML.
    $given | & $block @arguments 2>&1 | ForEach-Object -Process { # ps51: allow native
        if ($_ -is [System.Management.Automation.ErrorRecord]) {
            Write-Objects
            if ($_.FullyQualifiedErrorId -notlike 'NativeCommandError*') { $failed = $true }
            [Console]::Error.WriteLine($_.ToString())
        }
        elseif ($_ -is [string]) {
            Write-Objects
            [Console]::Out.WriteLine($_)
        }
        elseif ($null -ne $_) { [void] $objects.Add($_) }
    }
}
catch {
    $failed = $true
    [Console]::Error.WriteLine($_.Exception.Message)
}
finally { Write-Objects } # also after "exit" in the script
if ($failed) { exit 1 }
if ($null -ne $LASTEXITCODE) { exit $LASTEXITCODE }
exit 0
