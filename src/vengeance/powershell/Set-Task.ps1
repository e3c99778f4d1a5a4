# Writes one task into the folder \vengeance of Task Scheduler, and starts or ends it.
#
# in:   {"name": "wsl keepalive", "definition": {...}, "running": true, "renew": false}
#       definition: as Get-Task gives it, all keys in its order
#       running: true, false, or null for as it is; renew: write it even if nothing differs
#       Secret: password of the account, when definition.logon is password; Windows keeps it, this script does not
# out:  {"changed": true, "before": null, "after": {"definition": {...}, "state": "running", "registered": "...",
#        "password_set": "...", "last_run": "...", "last_result": 267009}, "reboot_required": false}
#       before and after: as Get-Task gives them, null for no such task
#
# A task that runs goes on with what it was started with when it is written anew, so it is ended and started again. Stop
# ends the program of the task alone and leaves what that has started, so the whole tree is ended here.
# https://learn.microsoft.com/windows/win32/taskschd/taskfolder-registertaskdefinition (6: create or update)
# https://learn.microsoft.com/windows/win32/taskschd/tasksettings and the pages of its properties
# https://learn.microsoft.com/windows/win32/taskschd/repetitionpattern-duration (none: for ever)
# https://learn.microsoft.com/windows/win32/api/taskschd/nf-taskschd-irunningtask-get_enginepid
param([string] $InputJson, [string] $Secret)
$ErrorActionPreference = 'Stop'

function Get-Seconds([string] $duration) {
    if ($duration -eq '') { return 0 }
    return [int] [Xml.XmlConvert]::ToTimeSpan($duration).TotalSeconds
}

function Get-Account([string] $name) {
    # A bare name that is also the computer's would mean the computer.
    if ($name -eq $env:COMPUTERNAME) { $name = "$name\$name" }
    try {
        if ($name -like 'S-1-*') {
            $sid = New-Object -TypeName Security.Principal.SecurityIdentifier -ArgumentList $name
        }
        else {
            $account = New-Object -TypeName Security.Principal.NTAccount -ArgumentList $name
            $sid = $account.Translate([Security.Principal.SecurityIdentifier])
        }
        return $sid.Translate([Security.Principal.NTAccount]).Value
    }
    catch [Security.Principal.IdentityNotMappedException] { return $null }
}

function Get-Trigger($trigger) {
    $bare = $trigger.Enabled -and [string] $trigger.EndBoundary -eq '' -and [string] $trigger.ExecutionTimeLimit -eq ''
    $every = Get-Seconds ([string] $trigger.Repetition.Interval)
    if (-not $bare) { return 'other' }
    if ($trigger.Type -eq 1) {
        if ($every -gt 0 -and [string] $trigger.Repetition.Duration -eq '') { return "every $every" }
        return 'other'
    }
    if ($every -ne 0 -or [string] $trigger.Delay -ne '') { return 'other' }
    if ($trigger.Type -eq 8) { return 'boot' }
    if ($trigger.Type -eq 9 -and [string] $trigger.UserId -ne '') { return "logon $(Get-Account $trigger.UserId)" }
    return 'other'
}

function Get-Definition($task) {
    $definition = $task.Definition
    $settings = $definition.Settings
    $command = ''
    $arguments = ''
    $directory = ''
    if ($definition.Actions.Count -eq 1) {
        foreach ($action in $definition.Actions) {
            if ($action.Type -eq 0) {
                $command = [string] $action.Path
                $arguments = [string] $action.Arguments
                $directory = [string] $action.WorkingDirectory
            }
        }
    }
    $triggers = @(foreach ($trigger in $definition.Triggers) { Get-Trigger $trigger })
    $conditions = @()
    if ($settings.RunOnlyIfIdle) { $conditions += 'idle' }
    if ($settings.RunOnlyIfNetworkAvailable) { $conditions += 'network' }
    $logons = 'none', 'password', 's4u', 'interactive', 'group', 'service', 'interactive or password'
    $instances = 'parallel', 'queue', 'ignore_new', 'stop_existing'
    return [ordered] @{
        description = [string] $definition.RegistrationInfo.Description
        command = $command
        arguments = $arguments
        working_directory = $directory
        user = [string] (Get-Account ([string] $definition.Principal.UserId))
        logon = $logons[[int] $definition.Principal.LogonType]
        highest = [int] $definition.Principal.RunLevel -eq 1
        triggers = $triggers
        time_limit = Get-Seconds ([string] $settings.ExecutionTimeLimit)
        priority = [int] $settings.Priority
        restart_count = [int] $settings.RestartCount
        restart_interval = Get-Seconds ([string] $settings.RestartInterval)
        on_battery = -not ($settings.DisallowStartIfOnBatteries -or $settings.StopIfGoingOnBatteries)
        instances = $instances[[int] $settings.MultipleInstances]
        conditions = $conditions
        enabled = [bool] $task.Enabled
    }
}

function Get-PasswordSet([string] $account) {
    $local = "$env:COMPUTERNAME\"
    if (-not $account.StartsWith($local, [StringComparison]::OrdinalIgnoreCase)) { return $null }
    $user = Get-LocalUser -Name $account.Substring($local.Length) -ErrorAction SilentlyContinue
    if ($null -eq $user -or $null -eq $user.PasswordLastSet) { return $null }
    return $user.PasswordLastSet.ToUniversalTime().ToString('s') + 'Z'
}

function Get-Task($task) {
    $definition = Get-Definition $task
    $registered = $null
    $written = [string] $task.Definition.RegistrationInfo.Date
    if ($written -ne '') {
        $moment = [Xml.XmlConvert]::ToDateTime($written, [Xml.XmlDateTimeSerializationMode]::Utc)
        $registered = $moment.ToString('s') + 'Z'
    }
    $ran = $null
    if ($task.LastRunTime.Year -gt 2000) { $ran = $task.LastRunTime.ToUniversalTime().ToString('s') + 'Z' }
    $result = [long] $task.LastTaskResult
    if ($result -lt 0) { $result += 4294967296 }
    $states = 'unknown', 'disabled', 'queued', 'ready', 'running'
    return [ordered] @{
        definition = $definition
        state = $states[[int] $task.State]
        registered = $registered
        password_set = Get-PasswordSet $definition.user
        last_run = $ran
        last_result = $result
    }
}

function Find-Task([string] $name) {
    foreach ($folder in $service.GetFolder('\').GetFolders(0)) {
        if ($folder.Name -eq 'vengeance') {
            foreach ($task in $folder.GetTasks(1)) {
                if ($task.Name -eq $name) { return $task }
            }
        }
    }
    return $null
}

function Get-Tree($task) {
    $all = @(Get-CimInstance -ClassName Win32_Process -Property 'ProcessId', 'ParentProcessId', 'CreationDate', 'Name')
    $hosts = 'svchost.exe', 'taskhostw.exe', 'taskeng.exe'
    $tree = @()
    foreach ($instance in $task.GetInstances(0)) {
        $tree += @($all | Where-Object { $_.ProcessId -eq $instance.EnginePID -and $hosts -notcontains $_.Name })
    }
    for ($i = 0; $i -lt $tree.Count; $i++) {
        $parent = $tree[$i]
        # A number is given again: what is older than its parent is somebody else's child.
        $tree += @($all | Where-Object {
                $_.ParentProcessId -eq $parent.ProcessId -and $_.CreationDate -ge $parent.CreationDate -and
                $_.ProcessId -ne $parent.ProcessId
            })
    }
    return $tree
}

function Stop-Tree($task, $tree) {
    # SCHED_E_TASK_NOT_RUNNING (0x8004130B), as a signed HRESULT: it has ended since it was looked at.
    try { $null = $task.Stop(0) }
    catch { if ($_.Exception.GetBaseException().HResult -ne -2147216629) { throw } }
    foreach ($process in $tree) {
        $left = Get-CimInstance -ClassName Win32_Process -Filter "ProcessId = $($process.ProcessId)"
        if ($null -ne $left -and $left.CreationDate -eq $process.CreationDate) {
            # It may end by itself meanwhile.
            $null = Invoke-CimMethod -InputObject $left -MethodName 'Terminate' -ErrorAction SilentlyContinue
        }
    }
    for ($i = 0; $i -lt 60 -and (Find-Task $task.Name).State -eq 4; $i++) { Start-Sleep -Milliseconds 500 }
}

function Get-Reason([long] $result) {
    $known = @{
        2147942402 = 'the program was not found'
        2147943645 = 'nobody is signed in on the desktop of its account'
        2147943726 = 'its stored password is not that of its account'
        2147943785 = 'its account has no right to log on as a batch job'
        2147946720 = 'Windows refused it: nobody is signed in on the desktop of its account, or a condition is not met'
    }
    $code = '0x{0:X8}' -f $result
    if ($known.ContainsKey($result)) { return "$code, $($known[$result])" }
    return $code
}

$wanted = ConvertFrom-Json -InputObject $InputJson
$given = $wanted.definition
$target = [ordered] @{
    description = [string] $given.description
    command = [string] $given.command
    arguments = [string] $given.arguments
    working_directory = [string] $given.working_directory
    user = [string] $given.user
    logon = [string] $given.logon
    highest = [bool] $given.highest
    triggers = @(foreach ($trigger in $given.triggers) { [string] $trigger })
    time_limit = [int] $given.time_limit
    priority = [int] $given.priority
    restart_count = [int] $given.restart_count
    restart_interval = [int] $given.restart_interval
    on_battery = [bool] $given.on_battery
    instances = [string] $given.instances
    conditions = @()
    enabled = [bool] $given.enabled
}

$service = New-Object -ComObject 'Schedule.Service'
$service.Connect()
$changed = $false
$before = $null
$same = $false
$runs = $false
$tree = @()
$task = Find-Task $wanted.name
if ($null -ne $task) {
    $before = Get-Task $task
    $runs = $before.state -eq 'running'
    if ($runs) { $tree = @(Get-Tree $task) }
    $is = ConvertTo-Json -InputObject $before.definition -Compress -Depth 2
    $should = ConvertTo-Json -InputObject $target -Compress -Depth 2
    $same = [string]::Equals($is, $should, [StringComparison]::Ordinal)
}

if (-not $same -or $wanted.renew) {
    $definition = $service.NewTask(0)
    # Whole seconds, so that a start right after it is not earlier.
    $definition.RegistrationInfo.Date = [DateTime]::UtcNow.ToString('s') + 'Z'
    $definition.RegistrationInfo.Description = $target.description
    $definition.Principal.UserId = $target.user
    $logons = @{ password = 1; s4u = 2; interactive = 3 }
    if (-not $logons.ContainsKey($target.logon)) {
        throw "A task signs in by password, s4u or interactive, not $($target.logon)."
    }
    $definition.Principal.LogonType = $logons[$target.logon]
    $definition.Principal.RunLevel = [int] $target.highest
    $settings = $definition.Settings
    $settings.Enabled = $target.enabled
    $settings.AllowDemandStart = $true
    $settings.StartWhenAvailable = $true
    $settings.ExecutionTimeLimit = [Xml.XmlConvert]::ToString([TimeSpan]::FromSeconds($target.time_limit))
    $settings.Priority = $target.priority
    if ($target.restart_count -gt 0) {
        $settings.RestartInterval = [Xml.XmlConvert]::ToString([TimeSpan]::FromSeconds($target.restart_interval))
        $settings.RestartCount = $target.restart_count
    }
    $settings.DisallowStartIfOnBatteries = -not $target.on_battery
    $settings.StopIfGoingOnBatteries = -not $target.on_battery
    $settings.RunOnlyIfIdle = $false
    $settings.IdleSettings.StopOnIdleEnd = $false
    $settings.IdleSettings.RestartOnIdle = $false
    $settings.RunOnlyIfNetworkAvailable = $false
    $settings.MultipleInstances = 2
    foreach ($kind in $target.triggers) {
        if ($kind -eq 'boot') { $trigger = $definition.Triggers.Create(8) }
        elseif ($kind -like 'logon *') {
            $trigger = $definition.Triggers.Create(9)
            $trigger.UserId = $kind.Substring(6)
        }
        elseif ($kind -like 'every *') {
            $trigger = $definition.Triggers.Create(1)
            # Any time that is over: the repetition counts from it, and has no end.
            $trigger.StartBoundary = '2024-01-01T00:00:00'
            $trigger.Repetition.Interval = [Xml.XmlConvert]::ToString([TimeSpan]::FromSeconds([int] $kind.Substring(6)))
            $trigger.Repetition.StopAtDurationEnd = $false
        }
        else { throw "A task has no trigger '$kind'." }
        $trigger.Enabled = $true
    }
    $action = $definition.Actions.Create(0)
    $action.Path = $target.command
    if ($target.arguments -ne '') { $action.Arguments = $target.arguments }
    if ($target.working_directory -ne '') { $action.WorkingDirectory = $target.working_directory }

    $root = $service.GetFolder('\')
    $folder = $null
    foreach ($each in $root.GetFolders(0)) { if ($each.Name -eq 'vengeance') { $folder = $each } }
    if ($null -eq $folder) { $folder = $root.CreateFolder('vengeance', $null) }
    $stored = $null
    if ($target.logon -eq 'password') { $stored = $Secret }
    try {
        $null = $folder.RegisterTaskDefinition(
            $wanted.name, $definition, 6, $target.user, $stored, $logons[$target.logon], $null)
    }
    catch {
        # ERROR_LOGON_FAILURE, as a signed HRESULT.
        if ($_.Exception.GetBaseException().HResult -ne -2147023570) { throw }
        throw "The password that was given for the task \vengeance\$($wanted.name) is not that of $($target.user)."
    }
    $changed = $true
}

$task = Find-Task $wanted.name
$again = $changed -and $runs -and $wanted.running -ne $false -and -not $same
if ($runs -and ($again -or $wanted.running -eq $false)) {
    Stop-Tree $task $tree
    $changed = $true
}
if ($again -or ($wanted.running -eq $true -and -not $runs)) {
    $null = $task.Run($null)
    $changed = $true
    for ($i = 0; $i -lt 20 -and (Find-Task $wanted.name).State -ne 4; $i++) { Start-Sleep -Milliseconds 500 }
}

$task = Find-Task $wanted.name
$after = Get-Task $task
if ($wanted.running -eq $true -and $after.state -ne 'running') {
    throw "The task \vengeance\$($wanted.name) was started and does not run: $(Get-Reason $after.last_result)."
}
if ($wanted.running -eq $false -and $after.state -eq 'running') {
    throw "The task \vengeance\$($wanted.name) was told to end and still runs after 30 seconds."
}
$answer = [ordered] @{ changed = $changed; before = $before; after = $after; reboot_required = $false }
ConvertTo-Json -InputObject $answer -Compress -Depth 4
